"""Each failover flag, on and off; where a conversation goes back to; the circuit of a backend that is down; every refusal told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from joch_core import BudgetExceeded, Joch, JochError, Message, NoEligibleCandidate, Reply, ToolSpec
from joch_core.resources.route import ModelRoute
from joch_core.testing import Simulator

Way = Callable[..., Reply]
ONE, TWO, THREE = "anthropic:claude-sonnet", "openai:gpt-5-mini", "openai:gpt-4o-mini"


def route(*backends: str, name: str = "r", flags: dict[str, Any] | None = None, **parts: Any) -> ModelRoute:
    spec: dict[str, Any] = {"strategy": {"primary": backends[0], "fallback": list(backends[1:])}}
    spec["strategy"] |= parts.pop("strategy", {})
    if flags is not None:
        spec["strategy"]["failover"] = flags
    document = {"apiVersion": "joch.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": name}, "spec": spec | parts}
    return ModelRoute.model_validate(document)


def asked(way: Way, joch: Joch, *args: Any, **options: Any) -> Reply | JochError:
    try:
        return way(joch, *args, **options)
    except JochError as error:
        return error


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize(("status", "name"), [(503, "onError"), (401, "onAuthError"), (403, "onAuthError"),
                                              (404, "onError"), (402, "onError"), (413, "onCapabilityMismatch")])  # fmt: skip
def test_a_flag_decides_what_a_fault_leads_to(
    joch: Joch, joch_simulator: Simulator, status: int, name: str, flag: bool
) -> None:
    joch_simulator.fail("anthropic", status=status)

    got = asked(Joch.call, joch, route(ONE, TWO, flags={name: flag}), "hi")

    assert isinstance(got, Reply if flag else JochError)
    assert len(joch_simulator.calls("openai")) == flag
    assert len(joch_simulator.calls("anthropic")) == 1


OTHER_FLAGS = {
    "onBudgetExceeded": False,
    "onCapabilityMismatch": False,
    "onRegionMismatch": False,
    "onHealthDegraded": False,
}


def test_the_other_flags_do_not_concern_a_fault(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503)

    assert joch.call(route(ONE, TWO, flags=OTHER_FLAGS), "hi").backend == TWO


@pytest.mark.parametrize("flag", [True, False])
def test_a_candidate_over_its_cap_is_passed_over_if_the_flag_says_so(
    way: Way, joch: Joch, joch_simulator: Simulator, flag: bool
) -> None:
    capped = route(ONE, THREE, flags={"onBudgetExceeded": flag}, constraints={"maxCostUsdPerCall": 0.002})

    got = asked(way, joch, capped, "hi", max_tokens=1000)

    if flag:
        assert isinstance(got, Reply)
        assert got.backend == THREE
        assert got.execution is not None
        switch = next(event for event in joch.trace(got.execution) if event.type == "ProviderSwitched")
        assert switch.payload["reason"] == "budget"
    else:
        assert isinstance(got, BudgetExceeded)
        assert "failover for this reason is off" in got.message
        assert joch_simulator.calls() == []


@pytest.mark.parametrize("flag", [True, False])
def test_a_candidate_that_lacks_a_capability_is_passed_over_if_the_flag_says_so(
    way: Way, joch: Joch, joch_simulator: Simulator, flag: bool
) -> None:
    wide = route(THREE, TWO, flags={"onCapabilityMismatch": flag}, requirements={"contextWindowMin": 200_000})

    got = asked(way, joch, wide, "hi")

    assert isinstance(got, Reply if flag else NoEligibleCandidate)
    assert len(joch_simulator.calls()) == flag


RESOURCES = """
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: gpt-eu}
spec: {provider: openai, model: gpt-4o-mini, routing: {regions: [eu]}}
---
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: unpriced}
spec: {provider: openai, model: some-new-model, endpoint: {api: openai-chat}}
---
apiVersion: joch.dev/v1alpha1
kind: Policy
metadata: {name: no-us-lab}
spec:
  rules:
    - {name: nobody, when: {model.provider: google}, action: {deny: "the contract with this provider has ended"}}
"""


@pytest.fixture
def stocked(joch_simulator: Simulator, tmp_path: Path) -> Iterator[Joch]:
    """A `Joch` that knows a model in the EU, one without a price, and a policy."""
    file = tmp_path / "resources.yaml"
    file.write_text(RESOURCES)
    with Joch(store=f"sqlite:///{tmp_path / 'stocked.db'}", resources=file) as stocked:
        yield stocked


@pytest.mark.parametrize("flag", [True, False])
def test_a_candidate_outside_the_residency_is_passed_over_if_the_flag_says_so(
    stocked: Joch, joch_simulator: Simulator, flag: bool
) -> None:
    resident = route(ONE, "openai:gpt-eu", flags={"onRegionMismatch": flag}, constraints={"dataResidency": "EU"})

    got = asked(Joch.call, stocked, resident, "hi")

    assert isinstance(got, Reply if flag else NoEligibleCandidate)
    assert joch_simulator.calls("anthropic") == []
    assert len(joch_simulator.calls("openai")) == flag


def test_a_price_that_is_not_known_denies_under_a_cap(way: Way, stocked: Joch, joch_simulator: Simulator) -> None:
    capped = route("openai:unpriced", constraints={"maxCostUsdPerExecution": 1})

    with pytest.raises(BudgetExceeded, match="its price is not known") as caught:
        way(stocked, capped, "hi")

    assert joch_simulator.calls() == []
    assert caught.value.execution is not None
    (call,) = stocked.explain(caught.value.execution).calls
    (row,) = call["candidates"]
    assert (row["verdict"], row["code"]) == ("denied", "price.unknown")
    assert row["reason"] == "its price is not known, and the route has a cost cap; add pricing to its Model"


def test_every_refusal_is_one_readable_line(
    stocked: Joch, joch_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        joch_simulator.fail("openai", "gpt-5-mini", status=503, times=1)
        with pytest.raises(JochError):
            stocked.call(TWO, "hi")
    candidates = (THREE, "google:gemini-pro", "openai:unpriced", TWO, "openai:gpt-eu", ONE)
    wide = route(
        *candidates, requirements={"contextWindowMin": 100_000, "vision": True}, constraints={"maxCostUsdPerCall": 1}
    )

    reply = stocked.call(wide, "hi", max_tokens=20_000)

    assert reply.execution is not None
    explanation = stocked.explain(reply.execution)
    (call,) = explanation.calls
    rows = {row["backend"]: row for row in call["candidates"]}
    assert [row["backend"] for row in call["candidates"]] == list(candidates)
    assert rows["google:gemini-pro"]["code"] == "policy:no-us-lab/nobody"
    assert rows["google:gemini-pro"]["reason"] == "the contract with this provider has ended"
    assert rows[TWO]["code"] == "health"
    assert rows["openai:unpriced"]["verdict"] in ("skipped", "denied")
    for row in rows.values():
        assert row["reason"]
        assert "\n" not in row["reason"]
        assert len(row["reason"]) < 200
    assert len(str(explanation).splitlines()) == 2 + len(candidates)


# ----------------------------------------------------------------------------------------------------------- failback


@pytest.mark.parametrize(("failback", "same", "following"), [
    ("next_execution", TWO, ONE), ("never", TWO, TWO), ("immediate", ONE, ONE),
])  # fmt: skip
def test_failback_says_when_a_conversation_returns(
    joch: Joch, joch_simulator: Simulator, failback: str, same: str, following: str
) -> None:
    made = route(ONE, TWO, strategy={"failback": failback})
    with joch.execution(conversation="c") as run:
        joch_simulator.fail("anthropic", status=503, times=1)
        assert joch.call(made, "one", execution=run).backend == TWO
        joch.health = type(joch.health)()
        assert joch.call(made, "two", execution=run).backend == same

    assert joch.call(made, "three", conversation="c").backend == following


def test_the_operators_choice_holds_whatever_failback_says(joch: Joch, joch_simulator: Simulator) -> None:
    made = route(ONE, TWO, strategy={"failback": "immediate"})
    assert joch.call(made, "one", conversation="c").backend == ONE

    joch.switch(conversation="c", to=TWO)

    assert [joch.call(made, text, conversation="c").backend for text in ("two", "three")] == [TWO, TWO]


def test_a_better_candidate_is_not_tried_again_while_it_is_ill(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503, times=1)
    made = route(ONE, TWO, health={"openSeconds": 60})

    backends = [joch.call(made, text, conversation="c").backend for text in ("one", "two")]

    assert backends == [TWO, TWO]
    assert len(joch_simulator.calls("anthropic")) == 1


# ------------------------------------------------------------------------------------------------------------ circuit


@pytest.mark.parametrize("streamed", [False, True], ids=["call", "stream"])
def test_a_circuit_opens_after_so_many_failures_and_one_probe_closes_it(
    joch: Joch, joch_simulator: Simulator, streamed: bool
) -> None:
    joch_simulator.fail("anthropic", status=503)
    made = route(ONE, TWO, health={"openAfterFailures": 2, "openSeconds": 1})

    def answered_by() -> str:
        return joch.stream(made, "hi").reply.backend if streamed else joch.call(made, "hi").backend

    assert [answered_by() for _ in range(4)] == [TWO] * 4
    assert len(joch_simulator.calls("anthropic")) == 2

    joch_simulator.recover("anthropic")
    time.sleep(1.05)
    assert [answered_by() for _ in range(2)] == [ONE, ONE]


def test_a_probe_that_fails_opens_the_circuit_for_twice_as_long(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503)
    made = route(ONE, TWO, health={"openAfterFailures": 1, "openSeconds": 0.3})

    joch.call(made, "hi")
    time.sleep(0.35)
    joch.call(made, "hi")
    time.sleep(0.35)
    joch.call(made, "hi")

    assert len(joch_simulator.calls("anthropic")) == 2


def test_a_probe_that_is_refused_for_its_content_closes_the_circuit(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503, times=1)
    made = route(ONE, TWO, health={"openAfterFailures": 1, "openSeconds": 0.3})
    joch.call(made, "hi")
    time.sleep(0.35)
    joch_simulator.fail("anthropic", status=400, times=1)
    with pytest.raises(JochError):
        joch.call(made, "hi")

    assert joch.call(made, "hi").backend == ONE


def test_while_a_probe_runs_the_others_pass_the_backend_over(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503, times=1)
    made = route(ONE, TWO, health={"openAfterFailures": 1, "openSeconds": 0.3})
    joch.call(made, "hi")
    time.sleep(0.35)
    joch_simulator.fail("anthropic", delay=0.6)

    with ThreadPoolExecutor() as pool:
        probe = pool.submit(joch.call, made, "hi")
        time.sleep(0.2)
        others = [joch.call(made, "hi").backend for _ in range(3)]
        assert probe.result().backend == ONE

    assert others == [TWO] * 3


def test_retry_after_opens_the_circuit_until_then(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=429, retry_after=60, times=1)
    made = route(ONE, TWO)

    backends = [joch.call(made, "hi").backend for _ in range(3)]

    assert backends == [TWO] * 3
    assert len(joch_simulator.calls("anthropic")) == 1


def test_an_open_circuit_is_ignored_if_the_flag_says_so(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=503)
    made = route(ONE, TWO, flags={"onHealthDegraded": False}, health={"openAfterFailures": 1, "openSeconds": 60})

    for _ in range(3):
        assert joch.call(made, "hi").backend == TWO

    assert len(joch_simulator.calls("anthropic")) == 3


def test_where_all_circuits_are_open_the_first_to_close_is_asked(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", status=429, retry_after=600, times=1)
    joch_simulator.fail("openai", status=429, retry_after=60, times=1)
    made = route(ONE, TWO)
    with pytest.raises(JochError):
        way(joch, made, "hi")

    reply = way(joch, made, "hi")

    assert reply.backend == TWO
    assert reply.execution is not None
    (call,) = joch.explain(reply.execution).calls
    assert [(row["backend"], row["verdict"], row["code"]) for row in call["candidates"]] == [
        (ONE, "skipped", "health"), (TWO, "chosen", "ok"),
    ]  # fmt: skip


def test_a_models_own_health_wins_over_the_routes(stocked: Joch, joch_simulator: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(RESOURCES.replace("regions: [eu]}", "regions: [eu]}, health: {openAfterFailures: 1, openSeconds: 60}"))
    joch_simulator.fail("openai", "gpt-4o-mini", status=503)
    made = route("openai:gpt-eu", ONE, health={"openAfterFailures": 50})
    with Joch(store=f"sqlite:///{tmp_path / 'own.db'}", resources=file) as own:
        for _ in range(3):
            assert own.call(made, "hi").backend == ONE

    assert len(joch_simulator.calls("openai")) == 1


# ---------------------------------------------------------------------------------------------------------------- money


def test_what_a_failed_attempt_frees_serves_the_next_candidate(way: Way, joch: Joch, joch_simulator: Simulator) -> None:
    """The cap pays for one answer at a time, not for two."""
    joch_simulator.fail("anthropic", status=500)
    capped = route(ONE, TWO, constraints={"maxCostUsdPerExecution": 0.011})

    with joch.execution() as run:
        reply = way(joch, capped, "hi", max_tokens=1000, execution=run)

    assert reply.backend == TWO
    spent, held = joch.store.spent(joch.namespace, f"execution/{run.name}")
    assert held == 0
    assert Decimal(spent) / 1_000_000 == reply.cost_usd == run.cost_usd


def test_the_first_call_of_a_turn_counts_against_the_cap_of_its_execution(joch: Joch, joch_simulator: Simulator) -> None:
    call = {"tool_calls": [{"name": "look", "args": {}}], "usage": {"output_tokens": 900}}
    joch_simulator.script([call, "done"], provider="anthropic")
    look = ToolSpec("look", "Look", {"type": "object", "properties": {}})
    capped = route(ONE, constraints={"maxCostUsdPerExecution": 0.012})
    first = joch.call(capped, "hi", conversation="c", tools=[look], max_tokens=1000)
    answer = Message.tool(first.tool_calls[0].id, "nothing", name="look")

    with pytest.raises(BudgetExceeded) as caught:
        joch.call(capped, [answer], conversation="c", tools=[look], max_tokens=1000)

    assert caught.value.execution == first.execution
    assert len(joch_simulator.calls()) == 1


def test_a_request_that_may_have_been_billed_stays_spent(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.fail("anthropic", stream="stall")
    capped = route(ONE, TWO, constraints={"maxCostUsdPerExecution": 0.05}, timeouts={"firstContentSeconds": 0.6})

    with joch.execution() as run:
        reply = joch.call(capped, "hi", max_tokens=1000, execution=run)

    spent, held = joch.store.spent(joch.namespace, f"execution/{run.name}")
    assert reply.backend == TWO
    assert held == 0
    assert spent > 10_000  # 1,000 tokens at $10 per million, though nobody knows
    assert reply.cost_usd is not None
    assert spent > reply.cost_usd * 1_000_000


def test_a_stream_that_is_closed_early_counts_as_the_most_that_it_can_have_cost(
    joch: Joch, joch_simulator: Simulator
) -> None:
    joch_simulator.script(["one two three four five six seven"])
    capped = route(ONE, constraints={"maxCostUsdPerExecution": 0.05})

    with joch.execution() as run, joch.stream(capped, "hi", max_tokens=1000, execution=run) as stream:
        next(stream)

    spent, held = joch.store.spent(joch.namespace, f"execution/{run.name}")
    assert 10_000 < spent < 11_000
    assert held == 0
