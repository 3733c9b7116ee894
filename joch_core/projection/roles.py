"""Who speaks after whom: one operator prompt where that is wanted, the user first, the user last. Pure."""

from __future__ import annotations

from dataclasses import replace

from joch_core.capabilities import Target
from joch_core.messages import Message, Part, Text

GO_ON = "Continue."
_BEGIN = "(The conversation begins with an earlier answer.)"


def project_roles(messages: list[Message], target: Target) -> list[Message]:
    """The messages in an order of roles that the target takes."""
    system = [message for message in messages if message.role == "system"]
    rest = [message for message in messages if message.role != "system"]
    if system and (not target.dialect.system_anywhere or target.api in ("anthropic-messages", "gemini-generate")):
        messages = [_joined(system), *rest]
    if not rest:
        return messages
    if rest[0].role != "user" and (
        target.dialect.alternating_roles or target.api in ("anthropic-messages", "gemini-generate")
    ):
        messages.insert(messages.index(rest[0]), Message.user(_BEGIN))
    if messages[-1].role == "assistant" and not target.dialect.assistant_last and not messages[-1].tool_calls:
        messages = [*messages, Message.user(GO_ON)]
    if not target.dialect.user_after_tool:
        messages = _bridged(messages)
    if target.dialect.alternating_roles:
        messages = _merged(messages)
    return messages


def _joined(system: list[Message]) -> Message:
    if len(system) == 1:
        return system[0]
    parts: list[Part] = []
    for message in system:
        if parts:
            parts.append(Text("\n\n"))
        parts += message.parts
    return Message("system", tuple(parts))


def _bridged(messages: list[Message]) -> list[Message]:
    """Some chat templates refuse a user's turn directly after a tool's: a neutral turn of the assistant stands between."""
    out: list[Message] = []
    for message in messages:
        if message.role == "user" and out and out[-1].role == "tool":
            out.append(Message.assistant("Noted."))
        out.append(message)
    return out


def _merged(messages: list[Message]) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last is not None and last.role == message.role and message.role in ("user", "assistant") and not last.tool_calls:
            out[-1] = replace(last, parts=(*last.parts, Text("\n\n"), *message.parts), native=None)
        else:
            out.append(message)
    return out
