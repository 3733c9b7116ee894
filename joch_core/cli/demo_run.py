"""The run behind `joch demo`: an agent loses its provider in mid-conversation and finishes on another one.

Real HTTP, the real SDKs and a real LangChain agent, against the local provider double (or, with `--live`, the providers
themselves). What is claimed at the end is measured: from the double's journal, the file of tickets and the event log. The
plugs are loaded by name, as a user's own program would; the core depends on none of them.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from joch_core.app.joch import Joch
from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.resources.route import Migration, ModelRoute, RouteSpec, Strategy, route_of

PRIMARY, FALLBACK = "openai:gpt-5-thinking", "anthropic:claude-sonnet"
#: A sentence that stands only in the old part of the transcript: the new provider must never see it.
SECRET_OF_THE_OLD_PART = "appendix-7f3a: raw scrape of forty pricing pages"  # noqa: S105  a marker, no password

PROMPT = "You are a research agent. Use the tools. Create a ticket only when the user asks for one."
TURNS = (
    "Goal: Analyze competitive landscape for agent ops tools\nLook up the market first.",
    "Decision: Five competitors in scope\nWhich of them sell an SDK only?",
    "Decision: Excluded SDK-only entrants\nCreate a ticket that asks sales for their price lists.",
)
SUBJECT = "Price lists of the five competitors"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured."""

    conversation: str
    execution: str
    checkpoint: str
    switched: Json
    calls: Json
    tickets: int
    raw_transcript_sent: bool | None
    answer: str
    ticket_lines: tuple[str, ...]

    @property
    def proven(self) -> bool:
        """Does it show what it is meant to show?"""
        return self.tickets == 1 and self.switched.get("to") == FALLBACK and self.raw_transcript_sent in (False, None)

    def as_json(self) -> Json:
        """`{conversation, execution, checkpoint, switched, calls, tickets, rawTranscriptSent}`."""
        return {
            "conversation": self.conversation,
            "execution": self.execution,
            "checkpoint": self.checkpoint,
            "switched": self.switched,
            "calls": self.calls,
            "tickets": self.tickets,
            "rawTranscriptSent": self.raw_transcript_sent,
        }


class Narrator:
    """Tells what happens; silent where the output is data."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        if not quiet:
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """One line."""
        if not self._quiet:
            self._console.print(text, style=style or None, markup=False)

    def title(self, text: str) -> None:
        """A heading."""
        self.say("")
        self.say(text, "bold")


def run_demo(*, live: bool, store: str | None, namespace: str | None, quiet: bool) -> Outcome:
    """Run the agent, take its provider away in the middle, and measure what became of it."""
    narrator = Narrator(quiet=quiet)
    conversation = f"conv-{uuid.uuid4().hex[:6]}"
    with ExitStack() as stack:
        world = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="joch-demo-"))) / "tickets.jsonl"
        double = None if live else stack.enter_context(_double())
        if live:
            _need_keys()
        joch = stack.enter_context(Joch(store=store, namespace=namespace))
        agent = _agent(joch, world, narrator)
        narrator.title("A research agent on " + PRIMARY)
        answer = ""
        for number, text in enumerate(TURNS, 1):
            narrator.say("user       " + text.replace("\n", "\n           "), "cyan")
            if number == len(TURNS):
                if double is not None:
                    double.fail("openai", status=503, from_turn=2)
                narrator.say("           (the provider will fail as soon as the ticket is created)", "dim")
            answer = _ask(agent, conversation, text)
            narrator.say(f"agent      {answer}", "green")
        return _measure(joch, conversation, world, double, answer)


@contextmanager
def _double() -> Iterator[Any]:
    """The local provider double, scripted, with the environment pointing at it."""
    testing = import_module("joch_core.testing")
    with testing.Simulator(script=_SCRIPT) as simulator:
        before = dict(os.environ)
        os.environ.update(simulator.env())
        try:
            yield simulator
        finally:
            os.environ.clear()
            os.environ.update(before)


def _need_keys() -> None:
    missing = [name for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY") if not os.environ.get(name)]
    if missing:
        raise InvalidArgument(f"--live needs {' and '.join(missing)} in the environment; without --live no key is needed")


def demo_route() -> ModelRoute:
    """The specification's route, with a window so small that the old part does not go over word for word."""
    strategy = Strategy(primary=PRIMARY, fallback=(FALLBACK,))
    route = route_of([PRIMARY, FALLBACK], name="research-default")
    return route.model_copy(update={"spec": RouteSpec(strategy=strategy, migration=Migration(recent_window_tokens=400))})


def _agent(joch: Joch, world: Path, narrator: Narrator) -> Any:
    try:
        plug = import_module("langchain_joch")
        agents = import_module("langchain.agents")
        saver = import_module("langgraph.checkpoint.joch")
    except ImportError as error:
        raise InvalidArgument(f"the demo needs LangChain ({error}); pip install 'joch[all]' langchain") from None

    def lookup_market(topic: str) -> str:
        """Look up what is known about a market. Changes nothing."""
        narrator.say(f"tool       lookup_market({topic!r})", "dim")
        rows = [f"{name}: agent operations, priced per seat" for name in ("Alpha", "Beta", "Gamma", "Delta", "Epsilon")]
        return "\n".join([*rows, SECRET_OF_THE_OLD_PART, "page of raw prices " * 120])

    def create_ticket(subject: str, body: str) -> str:
        """Create a ticket in the tracker of the sales team."""
        with world.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"subject": subject, "body": body}) + "\n")
        narrator.say(f"tool       create_ticket({subject!r})  → the outside world has changed", "yellow")
        return json.dumps({"ticket": "SALES-1", "subject": subject})

    return agents.create_agent(
        plug.JochChatModel(route=demo_route(), joch=joch),
        tools=[lookup_market, create_ticket],
        system_prompt=PROMPT,
        middleware=[
            plug.JochMiddleware(
                joch=joch, tools={"lookup_market": {"effect": "read_only"}, "create_ticket": {"effect": "external_write"}}
            )
        ],
        checkpointer=saver.JochSaver(joch.store),
    )


def _ask(agent: Any, conversation: str, text: str) -> str:
    config = {"configurable": {"thread_id": conversation}}
    state = agent.invoke({"messages": [{"role": "user", "content": text}]}, config)
    return str(state["messages"][-1].text)


def _measure(joch: Joch, conversation: str, world: Path, double: Any, answer: str) -> Outcome:
    events = joch.trace(conversation)
    switch = next((event for event in reversed(events) if event.type == "ProviderSwitched"), None)
    payload = {} if switch is None else switch.payload
    lines = tuple(world.read_text(encoding="utf-8").splitlines()) if world.exists() else ()
    counts: Json = {PRIMARY: 0, FALLBACK: 0}
    sent: bool | None = None
    if double is not None:
        counts = {PRIMARY: len(double.calls("openai")), FALLBACK: len(double.calls("anthropic"))}
        sent = any(SECRET_OF_THE_OLD_PART in json.dumps(call.body) for call in double.calls("anthropic"))
    else:
        for event in events:
            if event.type == "ModelCallStarted":
                counts[event.payload["backend"]] += 1
    return Outcome(
        conversation=conversation,
        execution=(switch.execution if switch is not None else events[-1].execution) or "",
        checkpoint=payload.get("checkpointRef") or "",
        switched={
            "from": payload.get("fromProvider"),
            "to": payload.get("toProvider"),
            "reason": payload.get("reason"),
        },
        calls=counts,
        tickets=len(lines),
        raw_transcript_sent=sent,
        answer=answer,
        ticket_lines=lines,
    )


_SCRIPT: Json = {
    "scripts": [
        {
            "provider": "openai",
            "turns": [
                {"tool_calls": [{"name": "lookup_market", "args": {"topic": "agent operations tools"}}]},
                {"text": "I found five competitors: Alpha, Beta, Gamma, Delta and Epsilon."},
                {"text": "Delta and Epsilon sell an SDK only. Shall I exclude them?"},
                {
                    "tool_calls": [
                        {
                            "name": "create_ticket",
                            "args": {"subject": SUBJECT, "body": "Please collect the price lists."},
                        }
                    ]
                },
            ],
        },
        {
            "provider": "anthropic",
            "turns": [
                {"text": "The ticket SALES-1 is created. Next I draft section 3 with the competitors in scope."},
            ],
        },
    ]
}
