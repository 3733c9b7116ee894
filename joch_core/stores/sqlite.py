"""SQLite as the engine under a store: one file, WAL, every commit on disk when it returns. Stdlib only.

One connection writes (under a lock); those that read are lent out and come back. A database in memory has a single one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from joch_core.errors import StoreError
from joch_core.stores.base import Cursor
from joch_core.stores.graphs import CLUSTERED
from joch_core.stores.schema import MIGRATIONS

MEMORY = ":memory:"
_BUSY_S = 30.0
#: File systems whose locks SQLite cannot trust: https://www.sqlite.org/faq.html#q5
_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "9p",
    "lustre",
}


class SqliteDatabase:
    """One SQLite file, or a database in memory (`:memory:`). Opened on first use; may be used from several threads."""

    engine: Literal["sqlite", "postgres"] = "sqlite"

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._writing = 0
        self._local = threading.local()
        self._readers: set[sqlite3.Connection] = set()
        self._free: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """A durable write transaction; a nested one is a part of the outer one."""
        self._usable()
        with self._lock, _translated(self.path):
            connection = self._write_connection()
            if self._writing:
                yield connection.cursor()
                return
            connection.execute("BEGIN IMMEDIATE")
            self._writing += 1
            try:
                yield connection.cursor()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._writing -= 1

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """A consistent view. Nested views of one thread are one view."""
        self._usable()
        if self.path == MEMORY:
            with self._lock, _translated(self.path):
                yield self._write_connection().cursor()
            return
        outer: sqlite3.Connection | None = getattr(self._local, "connection", None)
        with _translated(self.path):
            if outer is not None:
                yield outer.cursor()
                return
            connection = self._local.connection = self._lend()
            try:
                connection.execute("BEGIN")
                yield connection.cursor()
            finally:
                self._local.connection = None
                self._take_back(connection)

    def integrity(self) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        with self.reading() as cursor:
            rows = [str(row[0]) for row in cursor.execute("PRAGMA integrity_check").fetchall()]
        return [] if rows == ["ok"] else rows

    def close(self) -> None:
        """Close every connection. May be called twice."""
        if self._pid != os.getpid():  # the files are the parent's
            return
        with self._lock:
            self._closed = True
            connections = [*self._readers, *([self._writer] if self._writer is not None else [])]
            self._readers, self._free, self._writer = set(), [], None
        for connection in connections:
            connection.close()

    def _write_connection(self) -> sqlite3.Connection:
        self._usable()
        if self._writer is None:
            self._prepare_file()
            connection = self._connect()
            try:
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
            self._writer = connection
        return self._writer

    def _lend(self) -> sqlite3.Connection:
        with self._lock:
            if self._free:
                return self._free.pop()
            self._write_connection()
            connection = self._connect()
            self._readers.add(connection)
            return connection

    def _take_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if connection not in self._readers:  # the store was closed meanwhile
                return
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._free.append(connection)

    def _usable(self) -> None:
        if self._pid != os.getpid():
            raise StoreError("this store was opened before the process forked; open a new Joch in the child process")
        if self._closed:
            raise StoreError(f"the store {self.path} is closed; open a new Joch")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA foreign_keys = ON")
        if self.path != MEMORY:
            _enter_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare_file(self) -> None:
        if self.path == MEMORY:
            return
        file = Path(self.path)
        network = network_file_system(file)
        if network is not None:
            raise StoreError(
                f"{file} lies on a network file system ({network}), where SQLite cannot lock; "
                "use a local disk, or postgresql:// for several machines"
            )
        try:
            file.parent.mkdir(exist_ok=True, mode=0o700)  # one level: a mistyped path asks for no folders
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"the store {file} cannot be opened: {error.strerror or error}") from None

    def _migrate(self, connection: sqlite3.Connection) -> None:
        newest = len(MIGRATIONS)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version == newest:
            return
        if version > newest:
            raise StoreError(
                f"the store {self.path} was written by a newer Joch (schema {version}, this one knows {newest}); upgrade Joch"
            )
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement.replace(CLUSTERED, "WITHOUT ROWID"))
            connection.execute(f"PRAGMA user_version = {newest}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """No driver error leaves the store."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            hint = "another process holds it; try again"
        elif "full" in text:
            hint = "make room on the disk"
        elif "readonly" in text or "read-only" in text:
            hint = "make the file and its folder writable"
        elif "malformed" in text or "not a database" in text:
            hint = "restore it from a backup; joch store check says more"
        else:
            hint = "joch doctor says more"
        raise StoreError(f"the store {path} failed: {text}; {hint}") from None


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Of several first openers one wins; SQLite tells the others "locked" without waiting."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def network_file_system(file: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the network file system that holds the file, if it is one."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    place = file.absolute()
    best, kind = "", None
    for line in lines:
        _, point, type_, *_ = line.split(" ")
        point = point.encode().decode("unicode_escape")  # a space is written as \\040
        inside = point == "/" or place == Path(point) or Path(point) in place.parents
        if inside and len(point) >= len(best):
            best, kind = point, type_
    return kind if kind in _NETWORK else None
