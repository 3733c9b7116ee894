"""The tables of every engine, as migrations: the place in the list is the version. SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

from joch_core.stores.graphs import SCHEMA as GRAPH_THREADS

_SHELVES = """
CREATE TABLE joch_log (
    namespace TEXT NOT NULL, log TEXT NOT NULL, head BIGINT NOT NULL, hash TEXT NOT NULL, turn BIGINT NOT NULL,
    PRIMARY KEY (namespace, log)
);
CREATE TABLE joch_event (
    namespace TEXT NOT NULL, log TEXT NOT NULL, sequence BIGINT NOT NULL, type TEXT NOT NULL, at TEXT NOT NULL,
    execution TEXT, trace_id TEXT, span_id TEXT, agent TEXT, framework TEXT, model TEXT,
    payload TEXT NOT NULL, payload_hash TEXT NOT NULL, hash TEXT NOT NULL,
    PRIMARY KEY (namespace, log, sequence)
);
CREATE INDEX joch_event_execution ON joch_event (namespace, execution) WHERE execution IS NOT NULL;
CREATE INDEX joch_event_type ON joch_event (namespace, type, at);
CREATE TABLE joch_record (
    namespace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, generation BIGINT NOT NULL,
    PRIMARY KEY (namespace, kind, name)
);
CREATE TABLE joch_claim (
    namespace TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, value TEXT NOT NULL, conversation TEXT,
    owner TEXT NOT NULL, lease_until DOUBLE PRECISION NOT NULL, version BIGINT NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE INDEX joch_claim_conversation ON joch_claim (namespace, conversation);
CREATE INDEX joch_claim_state ON joch_claim (namespace, state);
CREATE TABLE joch_account (
    namespace TEXT NOT NULL, account TEXT NOT NULL, spent BIGINT NOT NULL, held BIGINT NOT NULL,
    PRIMARY KEY (namespace, account)
);
CREATE TABLE joch_hold (
    namespace TEXT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL, amount BIGINT NOT NULL,
    lease_until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (namespace, id)
);
CREATE TABLE joch_counter (
    namespace TEXT NOT NULL, name TEXT NOT NULL, value BIGINT NOT NULL,
    PRIMARY KEY (namespace, name)
)
"""

_ARTIFACTS = """
CREATE TABLE joch_artifact (
    namespace TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, data BYTEA NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (namespace, digest)
)
"""

MIGRATIONS: tuple[str, ...] = (_SHELVES + ";" + GRAPH_THREADS, _ARTIFACTS)
