"""The three shelves in SQL that SQLite and PostgreSQL share: events, records, claims, and the money of accounts.

Every statement names the namespace. `commit` is one transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from joch_core.errors import ConversationConflict, InvalidArgument
from joch_core.messages import Json
from joch_core.resources.commits import Artifact, Claim, Commit, Committed, Head, Hold, Record, Settle
from joch_core.resources.events import GENESIS, Event, canonical_json, instant, link, parse_instant, payload_hash
from joch_core.stores.base import Cursor, Database, Query

_PAGE = 500
_EVENT = "log, sequence, type, at, execution, trace_id, span_id, agent, framework, model, payload, payload_hash, hash"
_CLAIM = "key, state, value, conversation, owner, lease_until, version"


class _Refused(Exception):
    """Somebody else holds what the commit wants: roll back and say so."""

    def __init__(self, what: Claim | Hold) -> None:
        self.what = what


class SqlStore:
    """A store on one database."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database

    def commit(self, namespace: str, commit: Commit, at: datetime) -> Committed:
        """Write everything or nothing; it is on disk when this returns."""
        try:
            with self.database.writing() as cursor:
                execution = _open_execution(cursor, namespace, commit.open_execution)
                _claim(cursor, namespace, commit, at)
                for settle in commit.settles:  # before the holds: what a failed attempt frees serves the next one
                    _settle(cursor, namespace, settle)
                for hold in commit.holds:
                    _hold(cursor, namespace, hold)
                for record in commit.records:
                    _put(cursor, namespace, record)
                for artifact in commit.artifacts:
                    _keep(cursor, namespace, artifact, at)
                events = (
                    _append(cursor, namespace, commit, execution, at) if commit.drafts or commit.turn is not None else ()
                )
        except _Refused as refused:
            return Committed(refused=refused.what)
        return Committed(events, execution)

    def head(self, namespace: str, log: str) -> Head:
        """Where a log stands; an unknown log stands at 0."""
        with self.database.reading() as cursor:
            row = cursor.execute(
                "SELECT head, hash, turn FROM joch_log WHERE namespace = ? AND log = ?", (namespace, log)
            ).fetchone()
        return Head(0, GENESIS, 0) if row is None else Head(*row)

    def events(self, namespace: str, query: Query) -> Iterator[Event]:
        """The events that a query asks for, a page at a time: nothing is held open while the caller thinks."""
        left = query.limit
        last: tuple[str, str, int] | None = None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            with self.database.reading() as cursor:
                sql, parameters = _select(namespace, query, last, size)
                rows = cursor.execute(sql, parameters).fetchall()
            for row in rows:
                yield _event(row)
            if len(rows) < size:
                return
            last = (rows[-1][3], rows[-1][0], rows[-1][1])
            left = None if left is None else left - len(rows)

    def logs(self, namespace: str, prefix: str) -> Iterable[str]:
        """The names of the logs that begin with `prefix`, sorted."""
        with self.database.reading() as cursor:
            rows = cursor.execute(
                "SELECT log FROM joch_log WHERE namespace = ? AND log >= ? AND log < ? ORDER BY log",
                (namespace, prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return [row[0] for row in rows]

    def verify(self, namespace: str, log: str) -> int | None:
        """The sequence of the first event whose hash does not fit; None if the chain is whole."""
        previous, expected = GENESIS, 1
        for event in self.events(namespace, Query(log=log)):
            text = _text(event.payload)
            digest = event.payload.get("tombstone") if set(event.payload) == {"tombstone"} else payload_hash(text)
            wanted = link(previous, log, event.sequence, event.type, instant(event.at), event.envelope, str(digest))
            if event.sequence != expected or event.hash != wanted:
                return event.sequence
            previous, expected = event.hash, expected + 1
        head = self.head(namespace, log)
        return None if (head.sequence, head.hash) == (expected - 1, previous) else expected

    def record(self, namespace: str, kind: str, name: str) -> Record | None:
        """One resource."""
        with self.database.reading() as cursor:
            row = cursor.execute(
                "SELECT kind, name, body, generation FROM joch_record WHERE namespace = ? AND kind = ? AND name = ?",
                (namespace, kind, name),
            ).fetchone()
        return None if row is None else Record(row[0], row[1], json.loads(row[2]), row[3])

    def records(self, namespace: str, kind: str | None = None) -> Sequence[Record]:
        """All resources of a kind (or of all), sorted by kind and name."""
        where, parameters = ("", [namespace]) if kind is None else (" AND kind = ?", [namespace, kind])
        with self.database.reading() as cursor:
            rows = cursor.execute(
                f"SELECT kind, name, body, generation FROM joch_record WHERE namespace = ?{where} ORDER BY kind, name",  # noqa: S608
                parameters,
            ).fetchall()
        return [Record(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]

    def delete(self, namespace: str, kind: str, name: str) -> bool:
        """Take a resource away; False if there is none."""
        with self.database.writing() as cursor:
            cursor.execute("DELETE FROM joch_record WHERE namespace = ? AND kind = ? AND name = ?", (namespace, kind, name))
            return cursor.rowcount > 0

    def claim(self, namespace: str, key: str) -> Claim | None:
        """One row of the ledger."""
        with self.database.reading() as cursor:
            return _one_claim(cursor, namespace, key)

    def claims(self, namespace: str, *, conversation: str | None = None, state: str | None = None) -> Sequence[Claim]:
        """Rows of the ledger, in the order of their first write."""
        where, parameters = "", [namespace]
        for column, value in (("conversation", conversation), ("state", state)):
            if value is not None:
                where += f" AND {column} = ?"
                parameters.append(value)
        with self.database.reading() as cursor:
            rows = cursor.execute(
                f"SELECT {_CLAIM} FROM joch_claim WHERE namespace = ?{where} ORDER BY created, key",  # noqa: S608
                parameters,
            ).fetchall()
        return [_as_claim(row) for row in rows]

    def artifact(self, namespace: str, digest: str) -> Artifact | None:
        """What is kept under this hash."""
        with self.database.reading() as cursor:
            row = cursor.execute(
                "SELECT digest, data, media_type FROM joch_artifact WHERE namespace = ? AND digest = ?", (namespace, digest)
            ).fetchone()
        return None if row is None else Artifact(row[0], bytes(row[1]), row[2])

    def spent(self, namespace: str, account: str) -> tuple[int, int]:
        """(spent, held) of an account in micro-USD; expired holds count as spent: their calls may have been billed."""
        with self.database.reading() as cursor:
            row = cursor.execute(
                "SELECT a.spent, a.held, (SELECT COALESCE(SUM(h.amount), 0) FROM joch_hold AS h WHERE h.namespace = a.namespace"
                " AND h.account = a.account AND h.lease_until > 0 AND h.lease_until < ?)"
                " FROM joch_account AS a WHERE a.namespace = ? AND a.account = ?",
                (time.time(), namespace, account),
            ).fetchone()
        return (0, 0) if row is None else (row[0] + int(row[2]), row[1] - int(row[2]))

    def check(self) -> Sequence[str]:
        """What is wrong with the database and with the hash chain of any log."""
        integrity = getattr(self.database, "integrity", None)
        problems: list[str] = list(integrity()) if integrity is not None else []
        with self.database.reading() as cursor:
            logs = cursor.execute("SELECT namespace, log FROM joch_log ORDER BY namespace, log").fetchall()
        for namespace, log in logs:
            broken = self.verify(namespace, log)
            if broken is not None:
                problems.append(f"{log} in namespace {namespace}: the hash chain breaks at event {broken}")
        return problems

    def close(self) -> None:
        """Let go of files and connections. May be called twice."""
        close = getattr(self.database, "close", None)
        if close is not None:
            close()


def _text(value: Json) -> str:
    """A value as it is stored and hashed: canonical JSON, in ASCII where a lone surrogate has no UTF-8.

    Raises:
        InvalidArgument: it is no JSON.
    """
    try:
        text = canonical_json(value)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"what shall be stored is no JSON: {error}") from None
    return text


def _open_execution(cursor: Cursor, namespace: str, day: str | None) -> str | None:
    if day is None:
        return None
    row = cursor.execute(
        "INSERT INTO joch_counter (namespace, name, value) VALUES (?, ?, 1) "
        "ON CONFLICT (namespace, name) DO UPDATE SET value = joch_counter.value + 1 RETURNING value",
        (namespace, f"execution/{day}"),
    ).fetchone()
    assert row is not None
    return f"exec-{day}-{row[0]:03d}"


def _append(cursor: Cursor, namespace: str, commit: Commit, execution: str | None, at: datetime) -> tuple[Event, ...]:
    log = commit.log + (execution or "") if commit.log == "execution/" else commit.log
    # The row is written even where nothing changes: on every engine that locks the log until the end of the commit.
    row = cursor.execute(
        "INSERT INTO joch_log (namespace, log, head, hash, turn) VALUES (?, ?, 0, ?, 0) "
        "ON CONFLICT (namespace, log) DO UPDATE SET head = joch_log.head RETURNING head, hash, turn",
        (namespace, log, GENESIS),
    ).fetchone()
    assert row is not None
    head, previous, turn = row
    if commit.turn is not None and commit.turn != turn:
        name = log.partition("/")[2]
        raise ConversationConflict(f"another writer of {name!r} was faster; read the conversation again and repeat the call")
    moment = instant(at)
    events: list[Event] = []
    rows: list[tuple[Any, ...]] = []
    common = commit.envelope
    for sequence, draft in enumerate(commit.drafts, head + 1):
        envelope = (
            draft.execution or common.execution or execution,
            draft.trace_id or common.trace_id,
            draft.span_id or common.span_id,
            draft.agent or common.agent,
            draft.framework or common.framework,
            draft.model,
        )
        text = _text(draft.payload)
        digest = payload_hash(text)
        when = draft.at or moment
        previous = link(previous, log, sequence, draft.type, when, envelope, digest)
        rows.append((namespace, log, sequence, draft.type, when, *envelope, text, digest, previous))
        own = at if draft.at is None else parse_instant(draft.at)
        events.append(Event(log, sequence, draft.type, draft.payload, own, previous, *envelope))
    cursor.executemany(
        f"INSERT INTO joch_event (namespace, {_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        rows,
    )
    last = head + len(rows)
    cursor.execute(
        "UPDATE joch_log SET head = ?, hash = ?, turn = ? WHERE namespace = ? AND log = ?",
        (last, previous, turn if commit.turn is None or not rows else last, namespace, log),
    )
    return tuple(events)


def _claim(cursor: Cursor, namespace: str, commit: Commit, at: datetime) -> None:
    for claim in commit.claims:
        cursor.execute(
            f"INSERT INTO joch_claim (namespace, {_CLAIM}, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
            "ON CONFLICT (namespace, key) DO NOTHING",
            (namespace, claim.key, claim.state, _text(claim.value), claim.conversation, claim.owner,
             claim.lease_until, claim.version, instant(at)),
        )  # fmt: skip
        if cursor.rowcount < 1:
            _refuse(cursor, namespace, claim)
    for claim in commit.swaps:
        cursor.execute(
            "UPDATE joch_claim SET state = ?, value = ?, owner = ?, lease_until = ?, version = ? "
            "WHERE namespace = ? AND key = ? AND version = ?",
            (claim.state, _text(claim.value), claim.owner, claim.lease_until, claim.version,
             namespace, claim.key, claim.version - 1),
        )  # fmt: skip
        if cursor.rowcount < 1:
            _refuse(cursor, namespace, claim)


def _refuse(cursor: Cursor, namespace: str, claim: Claim) -> None:
    raise _Refused(_one_claim(cursor, namespace, claim.key) or replace(claim, version=0))


def _one_claim(cursor: Cursor, namespace: str, key: str) -> Claim | None:
    row = cursor.execute(
        f"SELECT {_CLAIM} FROM joch_claim WHERE namespace = ? AND key = ?",  # noqa: S608
        (namespace, key),
    ).fetchone()
    return None if row is None else _as_claim(row)


def _as_claim(row: Sequence[Any]) -> Claim:
    key, state, value, conversation, owner, lease_until, version = row
    return Claim(key, state, json.loads(value), conversation, owner, lease_until, version)


def _hold(cursor: Cursor, namespace: str, hold: Hold) -> None:
    _not_negative(hold.amount)
    _ensure_account(cursor, namespace, hold.account)
    cursor.execute(
        "UPDATE joch_account SET held = held + ? WHERE namespace = ? AND account = ? AND spent + held + ? <= ?",
        (hold.amount, namespace, hold.account, hold.amount, hold.cap),
    )
    if cursor.rowcount < 1:
        raise _Refused(hold)
    cursor.execute(
        "INSERT INTO joch_hold (namespace, id, account, amount, lease_until) VALUES (?, ?, ?, ?, ?)",
        (namespace, hold.id, hold.account, hold.amount, hold.lease_until),
    )


def _not_negative(amount: int) -> None:
    if amount < 0:
        raise InvalidArgument(f"an amount of money is never negative, but this one is {amount} micro-USD")


def _settle(cursor: Cursor, namespace: str, settle: Settle) -> None:
    _not_negative(settle.amount)
    _ensure_account(cursor, namespace, settle.account)
    held = 0
    if settle.id is not None:
        row = cursor.execute(
            "DELETE FROM joch_hold WHERE namespace = ? AND id = ? AND account = ? RETURNING amount",
            (namespace, settle.id, settle.account),
        ).fetchone()
        held = 0 if row is None else row[0]
    cursor.execute(
        "UPDATE joch_account SET held = held - ?, spent = spent + ? WHERE namespace = ? AND account = ?",
        (held, settle.amount, namespace, settle.account),
    )


def _ensure_account(cursor: Cursor, namespace: str, account: str) -> None:
    cursor.execute(
        "INSERT INTO joch_account (namespace, account, spent, held) VALUES (?, ?, 0, 0) "
        "ON CONFLICT (namespace, account) DO NOTHING",
        (namespace, account),
    )


def _put(cursor: Cursor, namespace: str, record: Record) -> None:
    cursor.execute(
        "INSERT INTO joch_record (namespace, kind, name, body, generation) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (namespace, kind, name) DO UPDATE SET body = excluded.body, generation = excluded.generation",
        (namespace, record.kind, record.name, _text(record.body), record.generation),
    )


def _keep(cursor: Cursor, namespace: str, artifact: Artifact, at: datetime) -> None:
    cursor.execute(
        "INSERT INTO joch_artifact (namespace, digest, media_type, data, created) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (namespace, digest) DO NOTHING",
        (namespace, artifact.digest, artifact.media_type, artifact.data, instant(at)),
    )


def _select(namespace: str, query: Query, last: tuple[str, str, int] | None, size: int) -> tuple[str, list[Any]]:
    where = ["namespace = ?"]
    parameters: list[Any] = [namespace]
    conditions: tuple[tuple[str, Any], ...] = (
        ("log = ?", query.log),
        ("execution = ?", query.execution),
        ("sequence > ?", query.after or None),
        ("at >= ?", None if query.since is None else instant(query.since)),
    )
    for condition, value in conditions:
        if value is not None:
            where.append(condition)
            parameters.append(value)
    if query.types:
        where.append(f"type IN ({', '.join('?' * len(query.types))})")
        parameters += query.types
    if query.log is not None:
        order = "sequence"
        if last is not None:
            where.append("sequence > ?")
            parameters.append(last[2])
    else:
        order = "at, log, sequence"
        if last is not None:
            where.append("(at, log, sequence) > (?, ?, ?)")
            parameters += last
    parameters.append(size)
    return f"SELECT {_EVENT} FROM joch_event WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?", parameters  # noqa: S608


def _event(row: Sequence[Any]) -> Event:
    log, sequence, type_, at, execution, trace_id, span_id, agent, framework, model, payload, _, digest = row
    body: Json = json.loads(payload)
    return Event(
        log, sequence, type_, body, parse_instant(at), digest, execution, trace_id, span_id, agent, framework, model
    )
