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
    """The engine contract over sqlite3: one connection per thread."""

    engine = "sqlite"

    def __init__(self, path: str) -> None:
        self.path = path
        self._local = threading.local()
        self._connection().executescript(SCHEMA)

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
        return self._local.connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Cursor]:
        connection = self._connection()
        if connection.in_transaction:
            yield connection.cursor()
            return
        connection.execute(begin)
        try:
            yield connection.cursor()
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def writing(self):
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self):
        return self._transaction("BEGIN")


class Store:
    """A store that has nothing but its engine."""

    def __init__(self, path: str) -> None:
        self.database = SqliteDatabase(path)

    def close(self) -> None:
        pass


@pytest.fixture
def make_store(tmp_path: Path):
    """Open the store of this test; each call is one more opening of the same file."""
    return lambda name="graphs": Store(str(tmp_path / f"{name}.db"))
