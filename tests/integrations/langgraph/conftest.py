"""Stores for the tests of the saver."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from joch_core.stores.threads import SCHEMA


class SqliteDatabase:
    """The engine contract over sqlite3: one connection that writes, one per reading thread."""

    engine = "sqlite"

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._local = threading.local()
        self._writer = self._connect()
        self._writer.executescript(SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Cursor]:
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer.cursor()
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Cursor]:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
        connection = self._local.connection
        if connection.in_transaction:
            yield connection.cursor()
            return
        connection.execute("BEGIN")
        try:
            yield connection.cursor()
        finally:
            connection.execute("COMMIT")

    def close(self) -> None:
        self._writer.close()


class Store:
    """A store that has nothing but its engine."""

    def __init__(self, path: str) -> None:
        self.database = SqliteDatabase(path)

    def close(self) -> None:
        self.database.close()


@pytest.fixture
def make_store(tmp_path: Path):
    """Open the store of this test; each call is one more opening of the same file."""
    return lambda name="graphs": Store(str(tmp_path / f"{name}.db"))
