"""One call: who is asked, how often, what comes back, what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from joch_core import (
    BudgetExceeded,
    InvalidArgument,
    Joch,
    Message,
    NoEligibleCandidate,
    NotFound,
    ProviderError,
    Reply,
    RouteExhausted,
    StreamInterrupted,
    ToolSpec,
)
from joch_core.resources.route import Constraints, ModelRoute, route_of
from joch_core.testing import Simulator

Way = Callable[..., Reply]
ONE, TWO = "anthropic:claude-sonnet", "openai:gpt-5-mini"
ROUTE = [ONE, TWO]
WEATHER = ToolSpec(
    "get_weather", "Look it up", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)


def types(joch: Joch, name: str) -> list[str]:
    return [event.type for event in joch.trace(name)]


def constrained(**constraints: object) -> ModelRoute:
    route = route_of(ROUTE, name="capped")
    return route.model_copy(update={"spec": route.spec.model_copy(update={"constraints": Constraints(**constraints)})})


@pytest.mark.parametrize("backend", ["anthropic:claude-sonnet", "openai:gpt-5-mini", "openai:gpt-4o-mini"])
def test_a_call_answers_and_says_who_answered(way: Way, joch: Joch, joch_simulator: Simulator, backend: str) -> None:
    joch_simulator.script(["Hello."])

    reply = way(joch, backend, [Message.user("hi")])

    assert (reply.text, reply.finish, reply.backend, reply.switched_from) == ("Hello.", "stop", backend, None)
    assert reply.usage.input_tokens
    assert reply.cost_usd is not None
    assert reply.cost_usd > 0
    assert len(joch_simulator.calls()) == 1


def test_a_bare_call_is_an_execution_of_its_own(way: Way, joch: Joch) -> None:
    reply = way(joch, ONE, "hi")

    assert reply.execution is not None
    assert types(joch, reply.execution) == [
        "ExecutionCreated", "ExecutionStarted", "RouteDecided", "ModelCallStarted", "ModelCallCompleted", "ExecutionSucceeded",
    ]  # fmt: skip


def test_the_content_of_a_stateless_call_is_not_kept(way: Way, joch: Joch) -> None:
    reply = way(joch, ONE, "a sentence nobody should find")

    assert reply.execution is not None
    assert "nobody should find" not in str([event.payload for event in joch.trace(reply.execution)])


def test_parallel_tool_calls_come_back_with_ids_that_every_provider_takes(
    way: Way, joch: Joch, joch_simulator: Simulator
) -> None:
    calls = [{"name": "get_weather", "args": {"city": city}} for city in ("Bonn", "Rome")]
    joch_simulator.script([{"tool_calls": calls}, "It rains."])

    first = way(joch, ONE, "weather?", tools=[WEATHER])
    results = [Message.tool(call.id, f"rain in {call.args['city']}", name=call.name) for call in first.tool_calls]
    second = way(joch, TWO, [Message.user("weather?"), first.message, *results], tools=[WEATHER])

    assert first.finish == "tool_calls"
    assert [call.args for call in first.tool_calls] == [{"city": "Bonn"}, {"city": "Rome"}]
    assert all(len(call.id) == 9 and call.id.isalnum() for call in first.tool_calls)
    assert second.text == "It rains."


def test_a_provider_that_is_down_is_passed_over(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503)
    joch_simulator.script(["Hello."], provider="openai")

    reply = way(joch, ROUTE, "hi")

    assert (reply.text, reply.backend) == ("Hello.", TWO)
    assert reply.switch_reason == "outage"
    assert [(attempt.backend, attempt.kind) for attempt in reply.attempts] == [(ONE, "overloaded"), (TWO, "ok")]
    assert (len(joch_simulator.calls("anthropic")), len(joch_simulator.calls("openai"))) == (1, 1)
    assert reply.execution is not None
    switch = next(event for event in joch.trace(reply.execution) if event.type == "ProviderSwitched")
    assert (switch.payload["fromProvider"], switch.payload["toProvider"], switch.payload["reason"]) == (ONE, TWO, "outage")


@pytest.mark.parametrize(("status", "requests"), [(500, 2), (502, 2), (504, 2), (503, 1), (529, 1), (408, 2), (409, 2)])
def test_a_fault_is_retried_once_only_where_that_is_worth_it(
    way: Way, joch: Joch, joch_simulator: Simulator, status: int, requests: int
) -> None:
    joch_simulator.fail("anthropic", status=status)

    reply = way(joch, ROUTE, "hi")

    assert reply.backend == TWO
    assert len(joch_simulator.calls("anthropic")) == requests


def test_a_rate_limit_is_waited_for_only_if_that_is_short(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=429, retry_after=0.05, times=1)

    reply = way(joch, ROUTE, "hi")

    assert reply.backend == ONE
    assert len(joch_simulator.calls("anthropic")) == 2


def test_a_long_rate_limit_goes_over(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=429, retry_after=60)

    reply = way(joch, ROUTE, "hi")

    assert (reply.backend, reply.switch_reason) == (TWO, "rate_limit")
    assert len(joch_simulator.calls("anthropic")) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_plain_400_fails_elsewhere_too_and_is_surfaced(
    way: Way, joch: Joch, joch_simulator: Simulator, status: int
) -> None:
    joch_simulator.fail("anthropic", status=status)

    with pytest.raises(ProviderError) as caught:
        way(joch, ROUTE, "hi")

    assert caught.value.kind == "invalid_request"
    assert caught.value.status == status
    assert joch_simulator.calls("openai") == []
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_refused_key_switches_only_if_the_route_says_so(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=401)

    with pytest.raises(ProviderError) as caught:
        way(joch, ROUTE, "hi")

    assert caught.value.kind == "authentication"
    assert joch_simulator.calls("openai") == []


def test_a_missing_key_is_one_sentence_that_names_the_variable(
    way: Way, joch: Joch, joch_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")

    with pytest.raises(ProviderError, match="ANTHROPIC_API_KEY"):
        way(joch, ONE, "hi")

    assert joch_simulator.calls() == []


def test_when_everybody_fails_every_attempt_is_told(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail(status=503)

    with pytest.raises(RouteExhausted) as caught:
        way(joch, ROUTE, "hi")

    assert [(attempt.backend, attempt.status) for attempt in caught.value.attempts] == [(ONE, 503), (TWO, 503)]
    assert caught.value.execution is not None
    assert types(joch, caught.value.execution)[-1] == "ExecutionFailed"


@pytest.mark.parametrize("kind", ["truncate", "disconnect", "malformed"])
def test_a_stream_that_breaks_after_text_is_never_spliced(joch: Joch, joch_simulator: Simulator, kind: str) -> None:
    joch_simulator.script(["one two three four five six seven eight nine ten " * 5], provider="anthropic")
    joch_simulator.fail("anthropic", stream=kind, after=6)
    stream = joch.stream(ROUTE, "hi")
    seen: list[str] = []

    with pytest.raises(StreamInterrupted) as caught:
        seen.extend(delta.text for delta in stream)

    assert caught.value.partial.text.startswith("".join(seen))
    assert joch_simulator.calls("openai") == []


def test_a_stream_that_breaks_may_begin_anew_if_the_caller_asks_for_it(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.script(["one two three four five six seven eight nine ten " * 5], provider="anthropic")
    joch_simulator.fail("anthropic", stream="disconnect", after=6)
    joch_simulator.script(["whole answer"], provider="openai")

    stream = joch.stream(ROUTE, "hi", on_interrupt="restart")
    deltas = list(stream)

    place = next(index for index, delta in enumerate(deltas) if delta.type == "restart")
    assert "".join(delta.text for delta in deltas[place + 1 :]) == "whole answer"
    assert stream.reply.backend == TWO


def test_a_stream_without_its_end_is_no_success_even_before_text(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", stream="truncate", after=0)

    reply = way(joch, ROUTE, "hi")

    asked = len(joch_simulator.calls("anthropic"))
    assert (reply.backend, asked) in ((TWO, 2), (ONE, 1))


def test_a_route_that_requires_what_a_candidate_lacks_falls_forward(way: Way, joch: Joch) -> None:
    route = route_of(ROUTE, name="wide")
    requirements = route.spec.requirements.model_copy(update={"context_window_min": 10_000_000})
    route = route.model_copy(update={"spec": route.spec.model_copy(update={"requirements": requirements})})

    with pytest.raises(NoEligibleCandidate, match="10,000,000"):
        way(joch, route, "hi")


def test_data_that_must_stay_in_the_eu_is_sent_nowhere_else(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    with pytest.raises(NoEligibleCandidate, match="EU") as caught:
        way(joch, constrained(data_residency="EU"), "hi")

    assert joch_simulator.calls() == []
    assert "routing.regions" in caught.value.message


def test_a_cap_that_is_too_small_denies_before_anything_is_sent(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    with pytest.raises(BudgetExceeded):
        way(joch, constrained(max_cost_usd_per_call="0.000001"), "hi")

    assert joch_simulator.calls() == []


def test_a_cap_limits_the_answer_to_what_it_can_pay(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    way(joch, constrained(max_cost_usd_per_call="0.1"), "hi")

    sent = joch_simulator.calls("anthropic")[0].body["max_tokens"]
    assert 1024 <= sent < 64_000


def test_an_execution_adds_up_its_calls(joch: Joch, joch_simulator: Simulator) -> None:
    with joch.execution(conversation="c") as run:
        replies = [joch.call(ONE, text, execution=run) for text in ("one", "two")]

    assert run.cost_usd == sum((reply.cost_usd or Decimal(0) for reply in replies), Decimal(0))
    assert {reply.execution for reply in replies} == {run.name}
    assert joch.describe("execution", run.name)["status"]["phase"] == "Succeeded"
    assert joch.describe("execution", run.name)["status"]["modelCalls"] == 2


def test_explain_names_every_candidate_also_those_not_tried(joch: Joch, joch_simulator: Simulator) -> None:
    fine = joch.call(ROUTE, "hi")
    joch_simulator.fail("anthropic", status=503)
    switched = joch.call(ROUTE, "hi")
    assert fine.execution is not None
    assert switched.execution is not None

    def verdicts(execution: str) -> list[tuple[str, str]]:
        (call,) = joch.explain(execution).calls
        return [(row["backend"], row["verdict"]) for row in call["candidates"]]

    assert verdicts(fine.execution) == [(ONE, "chosen"), (TWO, "not_tried")]
    assert verdicts(switched.execution) == [(ONE, "failed"), (TWO, "chosen")]


def test_the_raw_exchange_is_kept_beside_the_answer_only_if_somebody_asks(
    way: Way, joch: Joch, joch_simulator: Simulator
) -> None:
    secret = "sk-canary-1234567890"
    with Joch(store=joch.store, keep_raw=True) as keeping:
        raw = way(keeping, ONE, f"my key is {secret}").raw

    (sent,) = joch_simulator.calls()
    assert raw["request"]["messages"] == [{"role": "user", "content": "my key is [redacted]"}]
    assert raw["request"]["model"] == sent.body["model"]
    assert "my key is" in str(raw["response"])
    assert secret not in str(raw)
    assert way(joch, ONE, "hi").raw is None


def test_a_structured_answer_that_comes_as_a_tool_call_is_told_as_text(way: Way, joch: Joch) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }

    reply = way(joch, "openai:gpt-4o-mini", "who?", output_schema=schema, output_mode="tool")

    assert isinstance(reply.output, dict)
    assert reply.tool_calls == ()
    assert reply.finish == "stop"


def test_an_option_that_does_not_exist_names_the_nearest(joch: Joch) -> None:
    with pytest.raises(InvalidArgument, match="temperature"):
        joch.call(ONE, "hi", temprature=1)  # type: ignore[call-arg]


def test_an_unknown_route_is_one_sentence(joch: Joch) -> None:
    with pytest.raises(NotFound, match="research-defalt"):
        joch.call("research-defalt", "hi")


def test_closing_a_stream_early_leaves_no_thread_of_it(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.script(["one two three four five six"])

    with joch.stream(ONE, "hi") as stream:
        next(stream)

    with pytest.raises(InvalidArgument, match="no whole reply"):
        _ = stream.reply


def test_structured_output_comes_back_parsed(way: Way, joch: Joch) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }

    reply = way(joch, ONE, "who?", output_schema=schema)

    assert isinstance(reply.output, dict)
    assert isinstance(reply.output["name"], str)


def test_arguments_come_back_under_the_names_of_the_caller(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    schema = {"type": "object", "properties": {"die Straße": {"type": "string"}}, "required": ["die Straße"]}
    tool = ToolSpec("find", "Find it", schema)
    (sent,) = joch.preview(messages="hi", tools=[tool], to=ONE)["tools"][0]["input_schema"]["required"]
    joch_simulator.script([{"tool_calls": [{"name": "find", "args": {sent: "A"}}]}, "Found."])

    asked = Message.user("hi")
    reply = way(joch, ONE, [asked], tools=[tool])
    (made,) = reply.tool_calls
    assert (sent != "die Straße", made.args) == (True, {"die Straße": "A"})

    assert way(joch, ONE, [asked, reply.message, Message.tool(made.id, "here")], tools=[tool]).text == "Found."
    first, second = joch_simulator.calls("anthropic")
    assert first.body["tools"] == second.body["tools"]
    assert second.body["messages"][1]["content"][-1]["input"] == {sent: "A"}
