"""The tables of graph threads, and what goes in and out of them. No statement is run here; `threads.py` reads and writes.

A list is stored as a chain: a version names the version before it, how many of its items it keeps, and the items that
follow. An item is stored once per thread, under the hash of its bytes, whoever refers to it: a pending write, a
checkpoint or a hundred checkpoints. Everything that a framework serialised is BYTEA, also the ids that are ordered by
their bytes. The same text runs on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from joch_core.stores.chains import Blob, Content, Version

#: Marks a table whose rows lie in the order of its key, where the engine can do that: half the pages for each commit.
CLUSTERED = "/* clustered */"

SCHEMA = """
CREATE TABLE IF NOT EXISTS graph_thread (
    namespace TEXT NOT NULL,
    thread TEXT NOT NULL,
    id BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    secret_kind TEXT,
    secret BYTEA,
    PRIMARY KEY (namespace, thread)
);

CREATE UNIQUE INDEX IF NOT EXISTS graph_thread_id ON graph_thread (namespace, id);

CREATE TABLE IF NOT EXISTS graph_checkpoint (
    namespace TEXT NOT NULL,
    thread BIGINT NOT NULL,
    lane TEXT NOT NULL,
    checkpoint BYTEA NOT NULL,
    parent BYTEA,
    run BYTEA,
    versions BYTEA NOT NULL,
    body_kind TEXT NOT NULL,
    body BYTEA NOT NULL,
    metadata_kind TEXT NOT NULL,
    metadata BYTEA NOT NULL,
    PRIMARY KEY (namespace, thread, lane, checkpoint)
) /* clustered */;

CREATE INDEX IF NOT EXISTS graph_checkpoint_run ON graph_checkpoint (namespace, run) WHERE run IS NOT NULL;

CREATE TABLE IF NOT EXISTS graph_version (
    namespace TEXT NOT NULL,
    thread BIGINT NOT NULL,
    lane TEXT NOT NULL,
    channel TEXT NOT NULL,
    version TEXT NOT NULL,
    base TEXT,
    keep INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (namespace, thread, lane, channel, version)
) /* clustered */;

CREATE TABLE IF NOT EXISTS graph_item (
    namespace TEXT NOT NULL,
    thread BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    kind TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (namespace, thread, digest)
) /* clustered */;

CREATE TABLE IF NOT EXISTS graph_write (
    namespace TEXT NOT NULL,
    thread BIGINT NOT NULL,
    lane TEXT NOT NULL,
    checkpoint BYTEA NOT NULL,
    task TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (namespace, thread, lane, checkpoint, task)
) /* clustered */;
"""


@dataclass(frozen=True, slots=True)
class GraphCheckpoint:
    """One checkpoint without its channel values.

    `versions` names the version of each channel, `nulls` the channels that hold None, `run` is the caller's run id.
    """

    lane: str
    checkpoint: str
    parent: str | None
    versions: Mapping[str, Version]
    body: Blob
    metadata: Blob
    nulls: tuple[str, ...] = ()
    run: str | None = None


@dataclass(frozen=True, slots=True)
class GraphWrite:
    """One pending write of a task. A negative position may be written again, any other keeps its first content."""

    task: str
    position: int
    path: str
    channel: str
    content: Content


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as it was found; `contents`, `writes` and `items` are filled by `get` only."""

    thread: str
    snapshot: GraphCheckpoint
    contents: Mapping[str, Content] = field(default_factory=dict)
    writes: Sequence[GraphWrite] = ()
    items: Mapping[bytes, Blob] = field(default_factory=dict)
