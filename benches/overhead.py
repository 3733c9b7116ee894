"""What deciding costs: choosing among candidates, a stream's time-outs, and the whole road of one call without a network.

    python benches/overhead.py [--rounds 7]

Figures are CPU microseconds of this process, the median over the rounds. "Road" is everything of `Joch.call` but the provider:
routing, projection, wire, events, the commits to a SQLite file; the provider is a value that answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from joch_core import Joch, Message
from joch_core.providers.endpoint import Timeouts
from joch_core.providers.patience import Patience
from joch_core.resources.model import Model
from joch_core.resources.policy import Policy
from joch_core.resources.route import ModelRoute, route_of
from joch_core.routing.candidates import Demand, Situation, select
from joch_core.routing.judge import allow_all, judge, model_facts

VERSION = "joch.dev/v1alpha1"
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello. " * 20}}],
    "usage": {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940},
}  # fmt: skip


class AtOnce:
    """A provider that answers before it is asked."""

    key_variables = ()
    status_code = 200
    headers: dict[str, str] = {"content-type": "application/json"}  # noqa: RUF012
    content = json.dumps(ANSWER).encode()

    def clients(self, _endpoint: object) -> Any:
        from joch_core.providers.base import Clients

        return Clients(lambda: self, lambda: self)

    def post(self, *_: object) -> AtOnce:
        return self

    def iter_bytes(self) -> Iterator[bytes]:
        yield self.content

    def close(self, *_: object) -> None:
        return None


def measured_us(work: Callable[[], object], *, times: int, rounds: int) -> float:
    """CPU microseconds of one `work`, the median over the rounds."""
    work()
    figures = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(times):
            work()
        figures.append((time.process_time() - begin) / times * 1e6)
    return statistics.median(figures)


def models(count: int) -> dict[str, Model]:
    made = {}
    for index in range(count):
        spec = {
            "provider": "openai", "model": f"m{index}", "capabilities": {"streaming": True, "toolCalling": True, "vision": True},
            "limits": {"contextWindowTokens": 200_000, "maxOutputTokens": 16_000}, "routing": {"regions": ["eu", "us"]},
            "pricing": {"inputPerMillionTokens": 1, "outputPerMillionTokens": 4},
        }  # fmt: skip
        model = Model.model_validate(
            {"apiVersion": VERSION, "kind": "Model", "metadata": {"name": f"m{index}"}, "spec": spec}
        )
        made[model.backend] = model
    return made


def policies(count: int) -> list[Policy]:
    rules = [
        {"name": f"r{index}", "when": {"model.provider": f"vendor-{index}", "model.region": "cn"}, "action": {"deny": "no"}}
        for index in range(count)
    ]
    document = {"apiVersion": VERSION, "kind": "Policy", "metadata": {"name": "p"}, "spec": {"rules": rules}}
    return [Policy.model_validate(document)]


def selection(rules: int) -> Callable[[], object]:
    known = models(10)
    route = ModelRoute.model_validate({
        "apiVersion": VERSION, "kind": "ModelRoute", "metadata": {"name": "r"},
        "spec": {
            "strategy": {"primary": next(iter(known)), "fallback": [*known][1:]},
            "requirements": {"toolCalling": True, "vision": True, "contextWindowMin": 100_000},
            "constraints": {"dataResidency": "EU", "maxCostUsdPerExecution": 5},
        },
    })  # fmt: skip
    demand = Demand(frozenset({"text", "toolCalling"}), frozenset(), 4_000, 1_000)
    situation = Situation(models=known)
    written = policies(rules)
    judged = (lambda target, _model: judge(written, model_facts(target))) if rules else allow_all
    return lambda: select(route, demand, situation, judged)


def road(joch: Joch, count: int, conversation: bool) -> Callable[[], object]:
    from joch_core.providers import base

    provider: Any = AtOnce()
    base.load_provider.cache_clear()
    from joch_core.app import ports

    ports.load_provider = lambda _name: provider  # type: ignore[assignment]  # a bench may do what a test may not
    route = route_of(["openai:gpt-4o-mini", "anthropic:claude-sonnet"], name="bench")
    messages = [Message.user("A sentence of a usual length, again and again. " * 4) for _ in range(count)]
    if not conversation:
        return lambda: joch.call(route, messages)
    joch.call(route, messages, conversation="bench")
    return lambda: joch.call(route, [], conversation="bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="show where the road spends its time instead")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JOCH_HOME"] = folder
        with Joch(store=f"sqlite:///{folder}/joch.db") as joch:
            bare = road(joch, 2, conversation=False)
            if asked.profile:
                return profile(bare)
            patience = Patience(Timeouts())
            rows = {
                "selection, 10 candidates": (selection(0), 500),
                "selection, 10 candidates, 20 rules": (selection(20), 300),
                "time-out of one read": (patience.next_read_s, 5000),
                "road of a bare call": (bare, 60),
                "road of a call, 80 messages": (road(joch, 80, conversation=False), 40),
                "road in a conversation": (road(joch, 10, conversation=True), 40),
            }
            for name, (work, times) in rows.items():
                print(f"{name:<40}{measured_us(work, times=times, rounds=asked.rounds):>10.1f} us")
    return None


def profile(work: Callable[[], object]) -> None:
    import cProfile
    import pstats

    work()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(200):
        work()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
