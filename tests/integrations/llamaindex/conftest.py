"""What the tests of the LlamaIndex plug share: an LLM on each wire, alone and through a forced failover, and tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.llms.joch import JochLLM

from joch_core import Joch
from joch_core.testing import Simulator

#: A backend per wire format, and the one that a forced failover ends on.
WIRES = {
    "openai-responses": ("openai:gpt-5-mini", "anthropic:claude-sonnet"),
    "openai-chat": ("openai:gpt-4o-mini", "anthropic:claude-sonnet"),
    "anthropic-messages": ("anthropic:claude-sonnet", "openai:gpt-5-mini"),
    "gemini-generate": ("google:gemini-pro", "openai:gpt-4o-mini"),
}


class Tickets(list[str]):
    """What the tool has done in the world; `crash` makes it raise after it did it."""

    crash: BaseException | None = None

    def create_ticket(self, subject: str) -> str:
        """Open a ticket."""
        self.append(subject)
        if self.crash is not None:
            raise self.crash
        return f"ticket {len(self)} for {subject}"

    def lookup(self, subject: str) -> str:
        """Look for tickets."""
        return f"{self.count(subject)} tickets for {subject}"


@pytest.fixture
def simulator(joch_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A running simulator; keys, base URLs and the default store of this test point to it and to a temporary folder."""
    monkeypatch.setenv("JOCH_HOME", str(tmp_path))
    for name in ("JOCH_STORE", "JOCH_RESOURCES", "JOCH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    return joch_simulator


@pytest.fixture
def joch(simulator: Simulator) -> Iterator[Joch]:
    """A Joch on the default store of this test."""
    with Joch() as joch:
        yield joch


def _ways() -> Iterator[Any]:
    """Each wire, alone and through a failover; the everyday run meets each wire once."""
    everyday = ("openai-responses", "openai-chat after a failover", "gemini-generate")
    for way in (f"{wire}{way}" for wire in WIRES for way in ("", " after a failover")):
        yield pytest.param(way, id=way, marks=() if way in everyday else pytest.mark.slow)


@pytest.fixture(params=_ways())
def llm(request: pytest.FixtureRequest, simulator: Simulator, joch: Joch) -> JochLLM:
    """An LLM whose primary speaks one wire; after a failover the primary is down, and the fallback answers."""
    wire, _, down = str(request.param).partition(" ")
    primary, fallback = WIRES[wire]
    if down:
        simulator.fail(primary.partition(":")[0], status=503)
    return JochLLM(model=primary, fallbacks=[fallback], joch=joch)


@pytest.fixture
def make(joch: Joch) -> Callable[..., JochLLM]:
    """Makes an LLM on this test's store: OpenAI first, then Anthropic, if nothing else is said."""

    def make(model: str = "openai:gpt-5-mini", *fallbacks: str, **fields: Any) -> JochLLM:
        return JochLLM(model=model, fallbacks=list(fallbacks) or ["anthropic:claude-sonnet"], joch=joch, **fields)

    return make


@pytest.fixture
def tickets() -> Tickets:
    return Tickets()
