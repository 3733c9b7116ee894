"""Agents that call tools in plain text (ReAct): what a tool gave comes back as a user's message that begins "Observation:".

That is no turn of the user: it must not open a new intent epoch, in which an effect might be repeated. And the agent writes
its own steps anew each time, in other words than the model's, which must not count as another history. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from joch_core import Message

_ACTION = "Action Input:"


def is_observation(text: str, before: Message | None) -> bool:
    """Is this what a tool gave to the step before it?"""
    return text.startswith("Observation:") and before is not None and before.role == "assistant" and _ACTION in before.text


def observation(parts: Message) -> Message:
    """The same as a tool's message: it is sent as the user's, and counts as none of the user's turns."""
    return Message("tool", parts.parts)


def _step(text: str) -> str:
    """Thought and action of a step, without the arguments, whose spelling the agent changes."""
    return " ".join(text.partition(_ACTION)[0].split())


def only_new(messages: Sequence[Message], newest: Message | None) -> Sequence[Message]:
    """The observation alone, if the step that it answers is the newest message of the log."""
    prompts = [message for message in messages if message.role == "system"]
    *_, step, answer = (None, None, *messages)
    if step is None or answer is None or newest is None or answer.role != "tool" or answer.tool_results:
        return messages
    same = step.role == newest.role == "assistant" and _step(step.text) == _step(newest.text)
    return [*prompts, answer] if same else messages
