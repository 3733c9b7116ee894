"""The fault matrix: what a provider can do wrong × four wire formats × four ways to call, at the local double.

One row of the table is one fault, with what must follow. A cell asserts the action, the number of requests on either side,
the class and the facts of the error, the events, that cost is counted once, and that no key can be read anywhere.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from joch_core import Joch, JochError, ProviderError, Reply, StreamInterrupted, ToolSpec
from joch_core.app.health import Health
from joch_core.resources.model import Timeouts
from joch_core.resources.route import ModelRoute, route_of
from joch_core.testing import Simulator

BACKENDS = {
    "chat": "openai:gpt-4o-mini",
    "responses": "openai:gpt-5-mini",
    "messages": "anthropic:claude-sonnet",
    "gemini": "google:gemini-2.5-flash",
}
WIRES = tuple(BACKENDS)
WHOLE, STREAMED = ("call", "acall"), ("stream", "astream")
WAYS = WHOLE + STREAMED
#: The discard port: nobody listens there.
REFUSES = "http://127.0.0.1:9"
CANARY = "sk-canary-4b1d0f7c93aa"
TEXT = "one two three four five six seven eight nine ten " * 4
TOOL = ToolSpec("send", "Send it", {"type": "object", "properties": {"body": {"type": "string"}}, "required": ["body"]})


@dataclass(frozen=True)
class Row:
    """One fault and what must follow: `over` (the next candidate answers), `stop` (the caller gets the fault), `answers`
    (the same backend answers in the end), `interrupted` (the caller has seen a part). `seen` are the requests that arrive at
    the primary; a refused connection is an attempt that does not.
    """

    name: str
    order: Mapping[str, Any]
    then: str
    kind: str
    requests: int = 1
    status: int | None = None
    code: str | None = None
    reason: str = "outage"
    ways: tuple[str, ...] = WAYS
    wires: tuple[str, ...] = WIRES
    timeouts: Mapping[str, float] = field(default_factory=dict)
    seen: int | None = None
    tool: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)


def before(mode: str, **more: Any) -> dict[str, Any]:
    return {"stream": mode, "before": True, **more}


def after(mode: str, **more: Any) -> dict[str, Any]:
    return {"stream": mode, "after": 8, **more}


def failing(status: int, then: str, kind: str, requests: int = 1, **more: Any) -> Row:
    return Row(str(status), {"status": status}, then, kind, requests, status=status, **more)


ROWS = (
    Row("refused", {"refuse": True}, "over", "connection", 2, code="connect", seen=0),
    Row("reset before the answer", {"stream": "refuse"}, "over", "connection", 2, code="reset"),
    Row("reset in the body", {"stream": "reset", "after": 1}, "over", "connection", 2, ways=WHOLE),
    Row("reset before content", before("reset"), "over", "connection", 2, ways=STREAMED),
    Row("closed in the body", {"stream": "disconnect"}, "over", "connection", 2, ways=WHOLE),
    Row("closed before content", before("disconnect"), "over", "connection", 2, ways=STREAMED),
    Row("closed after content", after("disconnect"), "interrupted", "connection", ways=STREAMED),
    Row("reset after content", after("reset"), "interrupted", "connection", ways=STREAMED),
    Row("silence", {"stream": "stall"}, "over", "timeout", code="first_content", timeouts={"first_content_seconds": 0.5}),
    Row("silence after content", after("stall"), "interrupted", "timeout", code="between_chunks", ways=STREAMED,
        timeouts={"between_chunks_seconds": 0.4}),
    Row("slow drip", {"stream": "drip", "interval": 0.02}, "over", "timeout", code="attempt_deadline",
        timeouts={"attempt_seconds": 0.7}),
    Row("ends before content", before("truncate"), "over", "stream_incomplete", 2, ways=STREAMED),
    Row("ends after content", after("truncate"), "interrupted", "stream_incomplete", ways=STREAMED),
    Row("broken event", {"stream": "malformed"}, "over", "server_error", 2, code="unreadable"),
    Row("broken event after content", after("malformed"), "interrupted", "server_error", ways=STREAMED),
    Row("error event: overloaded", before("error_event"), "over", "overloaded", ways=STREAMED, wires=("messages", "gemini")),
    Row("error event: overloaded, in other words", before("error_event"), "over", "server_error", 2, ways=STREAMED,
        wires=("chat", "responses")),
    Row("error event: server error", before("error_event", kind="server_error"), "over", "server_error", 2, ways=STREAMED),
    Row("error event: rate limit", before("error_event", kind="rate_limit"), "over", "rate_limit", reason="rate_limit",
        ways=STREAMED),
    Row("a key in an error event", before("error_event", kind="rate_limit", message=f"bearer {CANARY} is too busy"), "over",
        "rate_limit", reason="rate_limit", ways=STREAMED),
    Row("error event after content", after("error_event"), "interrupted", "overloaded", ways=STREAMED,
        kinds={"chat": "server_error", "responses": "server_error"}),
    Row("cut tool arguments", {"stream": "truncate", "cut": True}, "over", "stream_incomplete", 2, ways=STREAMED, tool=True,
        wires=("chat", "responses", "messages")),
    Row("HTML", {"stream": "html200"}, "over", "server_error", 2, code="unreadable"),
    Row("half a JSON body", {"stream": "broken_json"}, "over", "server_error", 2, code="unreadable", ways=WHOLE),
    Row("empty body", {"stream": "empty"}, "over", "server_error", 2, code="unreadable", ways=WHOLE),
    Row("empty stream", {"stream": "empty"}, "over", "stream_incomplete", 2, ways=STREAMED),
    failing(400, "stop", "invalid_request"),
    Row("400 context length", {"kind": "context_length"}, "over", "context_length", status=400, reason="capability"),
    Row("400 content filter", {"kind": "content_filter"}, "stop", "content_filter", status=400,
        kinds={"messages": "invalid_request", "gemini": "invalid_request"}),
    Row("401", {"status": 401, "message": f"Incorrect API key provided: {CANARY}"}, "stop", "authentication", status=401),
    failing(402, "over", "quota", reason="rate_limit"),
    failing(403, "stop", "permission"),
    failing(404, "over", "not_found"),
    failing(408, "over", "timeout", 2),
    failing(409, "over", "other", 2),
    failing(413, "over", "context_length", reason="capability"),
    failing(422, "stop", "invalid_request"),
    Row("429 soon", {"status": 429, "retry_after": 0.05, "times": 1}, "answers", "rate_limit", 1, status=429),
    Row("429 late", {"status": 429, "retry_after": 60}, "over", "rate_limit", status=429, reason="rate_limit"),
    failing(429, "over", "rate_limit", reason="rate_limit"),
    Row("429 quota", {"kind": "quota"}, "over", "quota", status=429, reason="rate_limit"),
    failing(500, "over", "server_error", 2),
    failing(502, "over", "server_error", 2),
    failing(503, "over", "overloaded"),
    failing(504, "over", "timeout", 2),
    failing(529, "over", "overloaded"),
    Row("a key in the body of a 500", {"status": 500, "message": f"upstream said: bearer {CANARY}"}, "over", "server_error", 2,
        status=500),
)  # fmt: skip


@dataclass
class Outcome:
    """What one cell has come to."""

    primary: str
    fallback: str
    reply: Reply | None
    error: JochError | None
    deltas: list[Any]
    events: list[Any]
    seen: int = 0
    asked_fallback: int = 0


@dataclass
class Stage:
    """What the cells share, since making it anew takes longer than a cell: the double, one `Joch`, one event loop."""

    simulator: Simulator
    joch: Joch
    loop: asyncio.Runner
    folder: Path

    def asked(self, way: str, *args: Any, **options: Any) -> tuple[Reply | None, JochError | None, list[Any]]:
        """Call in one of the four ways: the reply or the error, and the deltas that were handed over."""
        deltas: list[Any] = []

        async def without_holding() -> Reply:
            if way == "acall":
                return await self.joch.acall(*args, **options)
            stream = self.joch.astream(*args, **options)
            async for delta in stream:
                deltas.append(delta)
            return stream.reply

        try:
            match way:
                case "call":
                    return self.joch.call(*args, **options), None, deltas
                case "stream":
                    stream = self.joch.stream(*args, **options)
                    deltas.extend(stream)
                    return stream.reply, None, deltas
            return self.loop.run(without_holding()), None, deltas
        except JochError as error:
            return None, error, deltas


def ordered(simulator: Simulator, row: Row, wire: str, provider: str) -> None:
    order = dict(row.order)
    if order.pop("refuse", False):
        return
    if order.pop("before", False):
        # Gemini's first event has content already; the others begin with one that has none.
        order["after"] = 0 if wire == "gemini" else 1
    if order.pop("cut", False):
        order["after"] = {"chat": 3, "responses": 4, "messages": 3}[wire]
    simulator.fail(provider, **order)


def cell(row: Row, wire: str, way: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Run one cell and give what came of it."""
    simulator = stage.simulator
    primary = BACKENDS[wire]
    fallback = BACKENDS["responses"] if wire == "messages" else BACKENDS["messages"]
    provider, other = primary.partition(":")[0], fallback.partition(":")[0]
    for name, value in simulator.env().items():
        monkeypatch.setenv(name, CANARY if name.endswith("_API_KEY") else value)
    if "refuse" in row.order:
        monkeypatch.setenv(f"JOCH_PROVIDER_{provider.upper()}_BASE_URL", REFUSES + ("/v1" if provider == "openai" else ""))
    turn: Any = {"tool_calls": [{"name": "send", "args": {"body": TEXT}}]} if row.tool else TEXT
    simulator.script([turn], repeat_last=True)
    ordered(simulator, row, wire, provider)
    options = {"tools": [TOOL]} if row.tool else {}
    reply, error, deltas = stage.asked(way, route(primary, fallback, **row.timeouts), "hi", **options)
    known = error if reply is None else reply
    assert known is not None
    assert known.execution is not None
    outcome = Outcome(primary, fallback, reply, error, deltas, stage.joch.trace(known.execution))
    outcome.seen, outcome.asked_fallback = len(simulator.calls(provider)), len(simulator.calls(other))
    assert_no_secret(outcome)
    return outcome


def route(*backends: str, **timeouts: float) -> ModelRoute:
    made = route_of(backends, name="faults")
    return made.model_copy(update={"spec": made.spec.model_copy(update={"timeouts": Timeouts(**timeouts)})})


def assert_no_secret(outcome: Outcome) -> None:
    texts = [str(event) for event in outcome.events]
    error = outcome.error
    if error is not None:
        texts += [str(error), repr(error), repr(error.attempts), repr(pickle.dumps(error))]
        for linked in (error.__cause__, error.__context__):
            assert linked is None or isinstance(linked, JochError), f"{linked!r} can be reached from {error!r}"
    if outcome.reply is not None:
        texts.append(repr(outcome.reply))
    assert CANARY not in "".join(texts)


def assert_nothing_stored(folder: Path) -> None:
    for file in folder.iterdir():
        assert CANARY.encode() not in file.read_bytes(), file


def assert_follows(row: Row, wire: str, outcome: Outcome) -> None:
    """Everything that must hold after a cell."""
    reply, error = outcome.reply, outcome.error
    kind = row.kinds.get(wire, row.kind)
    known = error if reply is None else reply
    assert known is not None
    failures = [attempt for attempt in known.attempts if attempt.kind != "ok"]
    assert [(one.backend, one.kind, one.status) for one in failures] == [(outcome.primary, kind, row.status)] * row.requests
    if row.code is not None:
        assert {one.code for one in failures} == {row.code}
    failed = [event.payload for event in outcome.events if event.type == "ModelCallFailed"]
    if row.then != "interrupted":
        assert [(one["backend"], one["kind"], one.get("status")) for one in failed] == [
            (one.backend, one.kind, one.status) for one in failures
        ]
    answers = row.then in ("over", "answers")
    assert outcome.seen == (row.requests if row.seen is None else row.seen) + (row.then == "answers")
    assert outcome.asked_fallback == (row.then == "over")
    switches = [event.payload for event in outcome.events if event.type == "ProviderSwitched"]
    assert [(one["fromProvider"], one["toProvider"], one["reason"]) for one in switches] == (
        [(outcome.primary, outcome.fallback, row.reason)] if row.then == "over" else []
    )
    paid = [event.payload["costUsd"] for event in outcome.events if event.type == "ModelCallCompleted"]
    if answers:
        assert reply is not None, error
        assert reply.backend == (outcome.fallback if row.then == "over" else outcome.primary)
        assert [Decimal(one) for one in paid] == [reply.cost_usd]
        assert [delta.text for delta in outcome.deltas if delta.type == "text"] == [] or (
            "".join(delta.text for delta in outcome.deltas if delta.type == "text") == reply.text
        )
        assert outcome.events[-1].type == "ExecutionSucceeded"
        return
    assert paid == []
    assert outcome.events[-1].type == "ExecutionFailed"
    assert error is not None, reply
    if row.then == "interrupted":
        assert isinstance(error, StreamInterrupted)
        shown = "".join(delta.text for delta in outcome.deltas if delta.type == "text")
        assert shown
        assert error.partial.text == shown
        assert TEXT.startswith(shown.rstrip())
    else:
        assert isinstance(error, ProviderError)
        assert (error.kind, error.status) == (kind, row.status)


def cells() -> Iterator[Any]:
    """Every cell; the everyday run takes one wire and one way of each row, another one for each row."""
    for number, row in enumerate(ROWS):
        combinations = [(wire, way) for wire in row.wires for way in row.ways]
        everyday = combinations[number % len(combinations)]
        for combination in combinations:
            marks = () if combination == everyday else (pytest.mark.slow,)
            yield pytest.param(row, *combination, id=f"{row.name}-{'-'.join(combination)}", marks=marks)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("faults")
    for sdk in ("anthropic", "google.genai", "openai"):
        import_module(sdk)  # which takes long enough to break the short time-outs of the cells
    with (
        Simulator() as simulator,
        Joch(store=f"sqlite:///{folder / 'joch.db'}") as joch,
        asyncio.Runner() as loop,
    ):
        yield Stage(simulator, joch, loop, folder)
        assert_nothing_stored(folder)
        joch.pool.close()


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    shared.joch.health = Health()
    yield shared
    shared.simulator.recover()
    shared.simulator.clear()


@pytest.mark.parametrize(("row", "wire", "way"), [*cells()])
def test_a_fault_leads_to_its_action(row: Row, wire: str, way: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = cell(row, wire, way, stage, monkeypatch)

    assert_follows(row, wire, outcome)


WRONG = {
    "action": {"then": "stop"},
    "requests": {"requests": 2},
    "kind": {"kind": "server_error"},
    "status": {"status": 500},
    "code": {"code": "reset"},
    "reason": {"reason": "health"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_the_matrix_would_notice_another_action(
    change: dict[str, Any], stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = failing(529, "over", "overloaded")
    outcome = cell(row, "messages", "call", stage, monkeypatch)

    assert_follows(row, "messages", outcome)
    with pytest.raises(AssertionError):
        assert_follows(replace(row, **change), "messages", outcome)


def test_the_matrix_would_notice_a_key_in_an_event_or_in_the_store(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = cell(failing(529, "over", "overloaded"), "chat", "call", stage, monkeypatch)
    outcome.events[-1].payload["headers"] = f"authorization: {CANARY}"
    (tmp_path / "joch.db-wal").write_text(f"authorization: {CANARY}")

    with pytest.raises(AssertionError):
        assert_no_secret(outcome)
    with pytest.raises(AssertionError):
        assert_nothing_stored(tmp_path)
