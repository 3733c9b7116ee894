"""Chains of list versions: how a list is written as a change of an older one, and read back whole.

Works on an open cursor inside somebody else's transaction; what a version belongs to is its `Lane`. Nothing here decodes
an item: a list is the digests of its items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from joch_core.stores.base import Cursor

#: What a serialiser gave: its own name of the format, and the bytes.
Blob = tuple[str, bytes]
Version = str | int | float
Shape = Literal["list", "one", "delta"]

DIGEST_BYTES = 16
#: A chain is not followed further than this many versions, or an eighth of the list where that is more: so neither the
#: walk nor the complete lists in between grow faster than the list itself.
CHAIN_LINKS = 64
_LIST_SHARE = 8
_MARKS: Mapping[Shape, str] = {"list": "[]", "one": "*", "delta": "[d]"}
_SHAPES: Mapping[str, Shape] = {mark: shape for shape, mark in _MARKS.items()}
_BATCH = 400

_COLUMNS = "channel, version, base, keep, kind, data"
_ONE_VERSION = (
    f"SELECT {_COLUMNS} FROM graph_version WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND version = ?"  # noqa: S608
)
_CHAIN = """
WITH RECURSIVE chain (base, keep, data, link) AS (
    SELECT base, keep, data, 0 FROM graph_version
    WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND version = ?
    UNION ALL
    SELECT older.base, older.keep, older.data, chain.link + 1
    FROM graph_version AS older JOIN chain ON older.version = chain.base
    WHERE older.namespace = ? AND older.thread = ? AND older.lane = ? AND older.channel = ?
)
SELECT keep, data FROM chain ORDER BY link DESC
"""
_INSERT = """
INSERT INTO graph_version (namespace, thread, lane, channel, version, base, keep, depth, kind, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_REPLACE = """
UPDATE graph_version SET base = ?, keep = ?, depth = ?, kind = ?, data = ?
WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND version = ?
"""


@dataclass(frozen=True, slots=True)
class GraphItems:
    """A value that is made of items: a list, a delta snapshot of one, or one item alone.

    `digests` is always complete. With `base`, the first `keep` of them are those of that older version of the channel.
    """

    digests: Sequence[bytes]
    shape: Shape = "list"
    base: str | None = None
    keep: int = 0


Content = Blob | GraphItems


@dataclass(frozen=True, slots=True)
class Lane:
    """One graph namespace of one thread: whose versions these are."""

    namespace: str
    thread: int
    lane: str

    @property
    def key(self) -> tuple[str, int, str]:
        """The three leading columns of every key."""
        return self.namespace, self.thread, self.lane


class StaleBase(Exception):  # a signal between the saver and the shelf, not a failure
    """The version that a change builds on is gone: somebody pruned or deleted it. Write the list whole."""


def cut(digests: bytes) -> list[bytes]:
    """Joined digests, one by one."""
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]


def batches(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Parts that fit the parameter limit of every engine."""
    rest = list(values)
    for at in range(0, len(rest), _BATCH):
        yield rest[at : at + _BATCH]


def flat(content: Content) -> Blob:
    """A content that stands for itself, as the two columns `kind` and `data`."""
    return (_MARKS[content.shape], b"".join(content.digests)) if isinstance(content, GraphItems) else content


def unflat(kind: str, data: bytes) -> Content:
    """The opposite of `flat`."""
    shape = _SHAPES.get(kind)
    return (kind, bytes(data)) if shape is None else GraphItems(cut(bytes(data)), shape)


def write_version(cursor: Cursor, lane: Lane, channel: str, version: str, content: Content) -> None:
    """Keep one version of a channel.

    Raises:
        StaleBase: the base is not there any more.
    """
    base, keep, depth = None, 0, 0
    stored = content
    if isinstance(content, GraphItems) and content.base not in {None, version}:
        found = cursor.execute(
            "SELECT depth FROM graph_version"
            " WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND version = ? AND kind IN ('[]', '[d]')",
            (*lane.key, channel, content.base),
        ).fetchone()
        if found is None:
            raise StaleBase
        if content.keep and found[0] + 1 < max(CHAIN_LINKS, len(content.digests) // _LIST_SHARE):
            base, keep, depth = content.base, content.keep, found[0] + 1
            stored = replace(content, digests=content.digests[keep:])
    kind, data = flat(stored)
    row = (base, keep, depth, kind, data)
    if not cursor.execute(_INSERT, (*lane.key, channel, version, *row)).rowcount:
        _release(cursor, lane, channel, version)
        cursor.execute(_REPLACE, (*row, *lane.key, channel, version))


def _release(cursor: Cursor, lane: Lane, channel: str, version: str) -> None:
    """Nobody may build on a version that is about to be written again (foreign version schemes repeat their numbers)."""
    users = cursor.execute(
        "SELECT version FROM graph_version WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND base = ?",
        (*lane.key, channel, version),
    ).fetchall()
    for (user,) in users:
        complete(cursor, lane, channel, user)


def complete(cursor: Cursor, lane: Lane, channel: str, version: str) -> None:
    """Rewrite a list version so that it stands without its base."""
    cursor.execute(
        "UPDATE graph_version SET base = NULL, keep = 0, depth = 0, data = ?"
        " WHERE namespace = ? AND thread = ? AND lane = ? AND channel = ? AND version = ?",
        (b"".join(digests_of(cursor, lane, channel, version)), *lane.key, channel, version),
    )


def digests_of(cursor: Cursor, lane: Lane, channel: str, version: str) -> list[bytes]:
    """The whole list of a version, however long its chain."""
    digests: list[bytes] = []
    for keep, data in cursor.execute(_CHAIN, (*lane.key, channel, version, *lane.key, channel)).fetchall():
        del digests[keep:]
        digests += cut(bytes(data))
    return digests


def read_versions(cursor: Cursor, lane: Lane, versions: Mapping[str, str]) -> dict[str, Content]:
    """The contents of channels at given versions; a channel without a value is left out."""
    contents: dict[str, Content] = {}
    wanted = list(versions.items())
    for at in range(0, len(wanted), _BATCH):
        part = wanted[at : at + _BATCH]
        parameters = [parameter for pair in part for parameter in (*lane.key, *pair)]
        for channel, version, base, _, kind, data in cursor.execute(
            " UNION ALL ".join([_ONE_VERSION] * len(part)), parameters
        ).fetchall():
            whole = unflat(kind, data)
            if base is not None and isinstance(whole, GraphItems):
                whole = GraphItems(digests_of(cursor, lane, channel, version), whole.shape)
            contents[channel] = whole
    return contents
