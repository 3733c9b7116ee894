"""The tables of graph threads: what a checkpoint is made of, as rows. Only the schema; `threads.py` reads and writes it.

A list is stored as a chain: a version names the version before it, how many of its items it keeps, and the items that
follow. An item is stored once per thread, under the hash of its bytes, whoever refers to it: a pending write, a
checkpoint or a hundred checkpoints. Everything that a framework serialised is BYTEA, also the ids that are ordered by
their bytes. The same text runs on SQLite and on PostgreSQL.
"""

from __future__ import annotations

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
);

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
);

CREATE TABLE IF NOT EXISTS graph_item (
    namespace TEXT NOT NULL,
    thread BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    kind TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (namespace, thread, digest)
);

CREATE TABLE IF NOT EXISTS graph_write (
    namespace TEXT NOT NULL,
    thread BIGINT NOT NULL,
    lane TEXT NOT NULL,
    checkpoint BYTEA NOT NULL,
    task TEXT NOT NULL,
    position INTEGER NOT NULL,
    path TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (namespace, thread, lane, checkpoint, task, position)
);
"""
