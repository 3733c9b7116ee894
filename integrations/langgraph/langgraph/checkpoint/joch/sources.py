"""Where threads can be taken over from: what is in a checkpointer, told by its own tables, and opening one by its URL to read.

A source is never written: an SQLite file is opened read-only, and no tables are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.joch.serde import Allowed, StrictSerializer

from joch_core import InvalidArgument, StoreError, Threads

Source = BaseCheckpointSaver[Any]
_PAGE = 256
_CHECKPOINTS = "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints"
_WRITES = "SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, {path}, idx, channel FROM {table}"


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """The place of one pending write; sorted as LangGraph applies them."""

    path: str
    task: str
    position: int
    channel: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One checkpoint of a source, without what is in it; its writes in the order in which the checkpointer gives them."""

    thread: str
    lane: str
    checkpoint: str
    writes: tuple[Write, ...]

    @property
    def config(self) -> RunnableConfig:
        """Where it is."""
        return {
            "configurable": {"thread_id": self.thread, "checkpoint_ns": self.lane, "checkpoint_id": self.checkpoint},
        }


def entries_of(source: Source, thread: str | None) -> list[Entry]:
    """What a checkpointer holds, of one thread or of all.

    Raises:
        InvalidArgument: it is a checkpointer whose tables are not known here.
    """
    threads = getattr(source, "graph_threads", None)
    if isinstance(threads, Threads):
        names = [one.thread for one in threads.summaries()] if thread is None else [thread]
        return [entry for name in names for entry in _own(threads, name)]
    kind = type(source).__name__
    condition, named = ("", ()) if thread is None else (" WHERE thread_id = ?", (thread,))
    if kind == "SqliteSaver":
        path = "task_path" if getattr(source, "_has_task_path", False) else "''"
        with source.cursor(transaction=False) as cursor:  # type: ignore[attr-defined]
            checkpoints = cursor.execute(_CHECKPOINTS + condition, named).fetchall()
            writes = cursor.execute(_WRITES.format(path=path, table="writes") + condition, named).fetchall()
        return _joined(checkpoints, writes)
    if kind == "PostgresSaver":
        condition = condition.replace("?", "%s")
        with source._cursor() as cursor:  # type: ignore[attr-defined]  # noqa: SLF001  # its only way to a connection
            rows = cursor.execute(_CHECKPOINTS + condition, named).fetchall()
            more = cursor.execute(_WRITES.format(path="task_path", table="checkpoint_writes") + condition, named).fetchall()
        return _joined([tuple(row.values()) for row in rows], [tuple(row.values()) for row in more])
    raise InvalidArgument(f"threads can be taken over from a SqliteSaver, a PostgresSaver or a JochSaver, not from a {kind}")


def _own(threads: Threads, thread: str) -> Iterator[Entry]:
    written = threads.written(thread)
    after = None
    while rows := threads.page(thread=thread, after=after, limit=_PAGE):
        for row in rows:
            place = (row.snapshot.lane, row.snapshot.checkpoint)
            writes = [
                Write(task.path, task.task, position, channel)
                for task in written.get(place, ())
                for position, channel in zip(task.positions, task.channels, strict=True)
            ]
            yield Entry(thread, *place, tuple(sorted(writes)))
        after = rows[-1]


def _joined(checkpoints: Iterable[Sequence[Any]], writes: Iterable[Sequence[Any]]) -> list[Entry]:
    found: dict[tuple[str, str, str], list[Write]] = {(row[0], row[1], row[2]): [] for row in checkpoints}
    for thread, lane, checkpoint, task, path, position, channel in writes:
        own = found.get((thread, lane, checkpoint))
        if own is not None:  # else a run was cut off before its checkpoint: nobody can ever read it
            own.append(Write(path or "", task, position, channel))
    return [Entry(*place, tuple(sorted(own))) for place, own in found.items()]


@contextmanager
def open_source(url: str, allow: Iterable[Allowed] = ()) -> Iterator[Source]:
    """A checkpointer to read from: `sqlite:///file.db` or `postgresql://…`, as LangGraph's own savers or a JochSaver wrote it.

    Raises:
        InvalidArgument: the URL has no such form, the file is not there, or the package that reads it is not installed.
        StoreError: it cannot be opened, or holds no checkpoints.
    """
    scheme, separator, rest = url.partition("://")
    serde = StrictSerializer(allow)
    if separator and scheme == "sqlite":
        with _sqlite(Path(rest.removeprefix("/") if rest.startswith("/") else rest).expanduser(), url, serde) as source:
            yield source
    elif separator and scheme in {"postgresql", "postgres"}:
        with _postgres(url, serde) as source:
            yield source
    else:
        raise InvalidArgument("threads come from sqlite:///file.db or postgresql://user@host/database")


@contextmanager
def _sqlite(file: Path, url: str, serde: StrictSerializer) -> Iterator[Source]:
    import sqlite3

    if not file.is_file():
        raise InvalidArgument(f"there is no file {file}")
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        try:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            columns = {row[1] for row in connection.execute("PRAGMA table_info(writes)")}
            if not tables & {"checkpoints", "graph_checkpoint"}:
                raise StoreError(f"{file} holds no checkpoints of LangGraph")
            if "checkpoints" not in tables:
                from langgraph.checkpoint.joch.saver import JochSaver

                with JochSaver(url, serde=serde) as saver:
                    yield saver
                return
            stock = _needs("langgraph.checkpoint.sqlite", "SqliteSaver", "langgraph-checkpoint-sqlite")(
                connection, serde=serde
            )
            stock.is_setup = True  # its setup would write to the file
            stock._has_task_path = "task_path" in columns  # noqa: SLF001  # which its setup would have found out
            yield stock
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{file} cannot be read: {error}") from None


@contextmanager
def _postgres(url: str, serde: StrictSerializer) -> Iterator[Source]:
    stock = _needs("langgraph.checkpoint.postgres", "PostgresSaver", "langgraph-checkpoint-postgres")
    import psycopg
    from psycopg.rows import dict_row

    try:
        with psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row) as connection:
            row = connection.execute("SELECT to_regclass('checkpoint_writes') IS NOT NULL AS there").fetchone()
            if row is None or not row["there"]:
                raise StoreError("this database holds no checkpoints of LangGraph")
            yield stock(connection, serde=serde)
    except psycopg.Error as error:
        reason = " ".join(re.sub(r"postgres(ql)?://\S+", "postgresql://…", str(error)).split())
        raise StoreError(f"the database cannot be read: {reason}") from None


def _needs(module: str, name: str, package: str) -> Any:
    from importlib import import_module

    try:
        return getattr(import_module(module), name)
    except ImportError:
        raise InvalidArgument(f"reading this needs the package that wrote it: pip install {package}") from None
