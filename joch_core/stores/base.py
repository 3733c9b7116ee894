"""The contract of a store: three shelves (events, records, claims) and one way to write.

`commit` makes everything in one `Commit` true together, durably, or nothing of it. A store is synchronous and may be used
from several threads; asynchronous callers reach it through a worker thread. Every row belongs to a namespace, and every
query names one. No driver error leaves a store: it becomes a `StoreError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from joch_core.messages import Json
from joch_core.resources.commits import Artifact, Claim, Commit, Committed, Head, Hold, Record, Settle
from joch_core.resources.events import Event

__all__ = [
    "Artifact",
    "Claim",
    "Commit",
    "Committed",
    "Cursor",
    "Database",
    "Head",
    "Hold",
    "Location",
    "Query",
    "Record",
    "Settle",
    "Store",
]


@dataclass(frozen=True, slots=True)
class Query:
    """Which events: all conditions that are given must hold. Ordered by time, then log and sequence."""

    log: str | None = None
    execution: str | None = None
    types: tuple[str, ...] = ()
    since: datetime | None = None
    after: int = 0
    limit: int | None = None


class Store(Protocol):
    """Where everything is kept."""

    url: str

    @property
    def database(self) -> Database:
        """The engine under it, which other shelves (graph threads) share."""

    def commit(self, namespace: str, commit: Commit, at: datetime) -> Committed:
        """Write everything or nothing; it is on disk when this returns.

        Raises:
            ConversationConflict: the fence does not hold.
            StoreError: the store cannot be written.
        """

    def head(self, namespace: str, log: str) -> Head:
        """Where a log stands; an unknown log stands at 0."""

    def events(self, namespace: str, query: Query) -> Iterator[Event]:
        """The events that a query asks for, lazily, oldest first."""

    def logs(self, namespace: str, prefix: str) -> Iterable[str]:
        """The names of the logs that begin with `prefix`, sorted."""

    def verify(self, namespace: str, log: str) -> int | None:
        """The sequence of the first event whose hash does not fit; None if the chain is whole."""

    def record(self, namespace: str, kind: str, name: str) -> Record | None:
        """One resource."""

    def records(self, namespace: str, kind: str | None = None) -> Sequence[Record]:
        """All resources of a kind (or of all), sorted by kind and name."""

    def delete(self, namespace: str, kind: str, name: str) -> bool:
        """Take a resource away; False if there is none."""

    def claim(self, namespace: str, key: str) -> Claim | None:
        """One row of the ledger."""

    def claims(self, namespace: str, *, conversation: str | None = None, state: str | None = None) -> Sequence[Claim]:
        """Rows of the ledger, in the order of their first write."""

    def artifact(self, namespace: str, digest: str) -> Artifact | None:
        """What is kept under this hash."""

    def spent(self, namespace: str, account: str) -> tuple[int, int]:
        """(spent, held) of an account in micro-USD; expired holds count as spent."""

    def check(self) -> Sequence[str]:
        """What is wrong with the store itself (integrity, schema); empty if nothing."""

    def close(self) -> None:
        """Let go of files and connections. May be called twice."""


class Cursor(Protocol):
    """What runs a statement. Placeholders are `?` on every engine."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Cursor:
        """Run one statement for each row."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""


class Database(Protocol):
    """The engine under a store: how the shelves and the graph threads run their SQL, the same on every engine."""

    engine: Literal["sqlite", "postgres"]

    def writing(self) -> AbstractContextManager[Cursor]:
        """A durable write transaction: all or nothing; rolled back if the block raises."""

    def reading(self) -> AbstractContextManager[Cursor]:
        """A consistent view for reading. May be nested, and other calls may run while it is open."""


@dataclass(frozen=True, slots=True)
class Location:
    """A store URL, taken apart."""

    engine: Literal["sqlite", "postgres"]
    target: str
    options: Json = field(default_factory=dict)
