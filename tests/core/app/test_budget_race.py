"""A cap that many processes share on one store: never crossed, nothing lost when half of them are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from joch_core import BudgetExceeded, Joch
from joch_core.resources.model import Model
from joch_core.resources.route import Constraints, ModelRoute, route_of
from joch_core.testing import Simulator

BACKEND = "anthropic:claude-sonnet"
OUTPUT = 1_000
WORKER = """
import sys
from joch_core import BudgetExceeded, Joch, ModelRoute

store, execution, cap, calls = sys.argv[1:]
route = ModelRoute.model_validate({
    "apiVersion": "joch.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "capped"},
    "spec": {"strategy": {"primary": "anthropic:claude-sonnet"}, "constraints": {"maxCostUsdPerExecution": cap}},
})
print("ready", flush=True)
sys.stdin.readline()
with Joch(store=store) as joch:
    for _ in range(int(calls)):
        try:
            joch.call(route, "hi", execution=execution, max_tokens=1000)
            print("ok", flush=True)
        except BudgetExceeded:
            print("denied", flush=True)
"""


def worker(store: str, execution: str, cap: str, calls: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, store, execution, cap, str(calls)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def begin(workers: list[subprocess.Popen[str]]) -> None:
    for one in workers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in workers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()


def worst_micro_usd(joch: Joch) -> int:
    """What one call of the workers can cost at most: it asks for a whole answer of `OUTPUT` tokens."""
    model: Model = joch.catalog.model(BACKEND)
    route = ModelRoute.model_validate({
        "apiVersion": "joch.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "open"},
        "spec": {"strategy": {"primary": BACKEND}},
    })  # fmt: skip
    reply = joch.call(route, "hi", max_tokens=OUTPUT)
    assert reply.execution is not None
    started = next(event for event in joch.trace(reply.execution) if event.type == "ModelCallStarted")
    assert model.backend == BACKEND
    return round(float(started.payload["worstCaseUsd"]) * 1_000_000)


def race(processes: int, calls: int, fits: int, joch: Joch, simulator: Simulator, store: str) -> None:
    # Every answer is as long as it may be, so that what a call costs is near to what is set aside for it.
    simulator.script([{"text": "x", "usage": {"output_tokens": OUTPUT}}], repeat_last=True)
    worst = worst_micro_usd(joch)
    simulator.clear()
    cap = worst * fits
    with joch.execution() as run:
        workers = [worker(store, run.name, f"{cap / 1_000_000:.6f}", calls) for _ in range(processes)]
        begin(workers)
        told = Counter(line for one in workers for line in one.communicate()[0].split())
        spent, held = joch.store.spent(joch.namespace, f"execution/{run.name}")

    assert told["ok"] + told["denied"] == processes * calls
    assert held == 0
    assert spent <= cap
    answered = len(simulator.calls())
    assert told["ok"] == answered
    each = joch.catalog.model(BACKEND).cost_micro_usd(_usage(joch, run.name))
    assert each is not None
    assert spent == answered * each
    # The cap is used up: no further call would have fitted when the last one was denied.
    assert spent + worst > cap or told["denied"] == 0
    assert answered >= fits - 1


def _usage(joch: Joch, execution: str) -> object:
    from joch_core.messages import Usage

    done = next(event.payload for event in joch.trace(execution) if event.type == "ModelCallCompleted")
    return Usage(input_tokens=done["inputTokens"], output_tokens=done["outputTokens"])


def test_threads_that_race_for_a_cap_never_cross_it(joch: Joch, joch_simulator: Simulator) -> None:
    joch_simulator.script([{"text": "x", "usage": {"output_tokens": OUTPUT}}], repeat_last=True)
    worst = worst_micro_usd(joch)
    joch_simulator.clear()
    joch_simulator.fail("anthropic", delay=0.02)
    capped = route_of(BACKEND, name="capped")
    constraints = Constraints(max_cost_usd_per_execution=f"{worst * 10 / 1_000_000:.6f}")
    capped = capped.model_copy(update={"spec": capped.spec.model_copy(update={"constraints": constraints})})
    with joch.execution() as run:

        def ask(_: int) -> bool:
            try:
                joch.call(capped, "hi", execution=run, max_tokens=OUTPUT)
            except BudgetExceeded:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            answered = sum(pool.map(ask, range(24)))
        spent, held = joch.store.spent(joch.namespace, f"execution/{run.name}")

    assert held == 0
    assert spent <= worst * 10
    assert answered == len(joch_simulator.calls())
    assert 1 <= answered < 24


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_processes_race_for_five_hundred_calls(joch: Joch, joch_simulator: Simulator, tmp_path: Path) -> None:
    race(8, 200, 500, joch, joch_simulator, f"sqlite:///{tmp_path / 'joch.db'}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_killed_processes_had_reserved_stays_counted(joch: Joch, joch_simulator: Simulator, tmp_path: Path) -> None:
    joch_simulator.script([{"text": "x", "usage": {"output_tokens": OUTPUT}}], repeat_last=True)
    worst = worst_micro_usd(joch)
    joch_simulator.clear()
    joch_simulator.fail("anthropic", delay=0.05)
    cap = worst * 60
    with joch.execution() as run:
        store = f"sqlite:///{tmp_path / 'joch.db'}"
        workers = [worker(store, run.name, f"{cap / 1_000_000:.6f}", 30) for _ in range(8)]
        begin(workers)
        while len(joch_simulator.calls()) < 25:
            time.sleep(0.01)
        for one in workers[::2]:
            os.kill(one.pid, signal.SIGKILL)
        for one in workers:
            one.communicate()
        spent, held = joch.store.spent(joch.namespace, f"execution/{run.name}")
        completed = [event for event in joch.trace(run.name) if event.type == "ModelCallCompleted"]

    each = joch.catalog.model(BACKEND).cost_micro_usd(_usage(joch, run.name))
    assert each is not None
    seen = len(joch_simulator.calls())
    assert spent + held <= cap
    assert spent == len(completed) * each
    # Whoever was killed in the middle of a call has left a reservation, and no more than one.
    assert held in range(0, 4 * worst + 1, worst)
    assert seen <= len(completed) + held // worst
    assert seen * each <= spent + held
