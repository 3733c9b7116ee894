"""Who speaks after whom: one operator prompt where that is wanted, the user first, the user last. Pure."""

from __future__ import annotations

from dataclasses import replace

from joch_core.capabilities import Target
from joch_core.messages import Message, Part, Text, ToolResult
from joch_core.projection.losses import Losses

GO_ON = "Continue."
_BEGIN = "(The conversation begins with an earlier answer.)"
#: These APIs have a place of their own for the operator's prompt, and begin with the user.
_APART = ("anthropic-messages", "gemini-generate")


def project_roles(messages: list[Message], target: Target, losses: Losses) -> list[Message]:
    """The messages in an order of roles that the target takes."""
    dialect = target.dialect
    user_first = dialect.alternating_roles or target.api in _APART
    if not dialect.system_anywhere or target.api in _APART:
        messages = _system_first(messages, losses)
    head = next((place for place, message in enumerate(messages) if message.role != "system"), len(messages))
    if head == len(messages):
        # The Responses API takes the operator's text apart and refuses an empty input.
        alone = user_first or target.api == "openai-responses"
        messages = [*messages, Message.user(GO_ON)] if alone else messages
        return messages if dialect.content_parts else [_one_text(message) for message in messages]
    if user_first and messages[head].role != "user":
        messages = [*messages[:head], Message.user(_BEGIN), *messages[head:]]
    if messages[-1].role == "assistant":
        messages = [*messages[:-1], _unpadded(messages[-1])] if dialect.assistant_last else [*messages, Message.user(GO_ON)]
    if not dialect.user_after_tool:
        messages = _bridged(messages)
    if dialect.alternating_roles:
        messages = _merged(messages)
    return messages if dialect.content_parts else [_one_text(message) for message in messages]


def _system_first(messages: list[Message], losses: Losses) -> list[Message]:
    """One operator prompt, before everything else."""
    system = [message for message in messages if message.role == "system"]
    if not system or (len(system) == 1 and messages[0].role == "system"):
        return messages
    rest = [message for message in messages if message.role != "system"]
    if any(message.role == "system" for message in messages[len(system) :]):
        losses.warn("system.moved", "System messages in the middle move to the beginning")
    parts: list[Part] = []
    for message in system:
        if parts and isinstance(parts[-1], Text):
            parts[-1] = replace(parts[-1], text=parts[-1].text + "\n\n")
        parts += message.parts
    return [system[0] if len(system) == 1 else Message("system", tuple(parts)), *rest]


def _unpadded(message: Message) -> Message:
    """A beginning of an answer that the model is to go on with may not end in blanks."""
    last = message.parts[-1]
    if not isinstance(last, Text) or last.text == last.text.rstrip():
        return message
    return replace(message, parts=(*message.parts[:-1], replace(last, text=last.text.rstrip())))


def _bridged(messages: list[Message]) -> list[Message]:
    """Some chat templates refuse a user's turn directly after a tool's: a neutral turn of the assistant stands between."""
    out: list[Message] = []
    for message in messages:
        if message.role == "user" and out and out[-1].role == "tool":
            out.append(Message.assistant("Noted."))
        out.append(message)
    return out


def _merged(messages: list[Message]) -> list[Message]:
    """Turns that alternate: neighbours of one role are one turn."""
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last is not None and last.role == message.role and message.role in ("user", "assistant") and not last.tool_calls:
            out[-1] = replace(last, parts=_joined(last.parts, message.parts), native=None)
        else:
            out.append(message)
    return out


def _joined(one: tuple[Part, ...], two: tuple[Part, ...]) -> tuple[Part, ...]:
    if one and two and isinstance(one[-1], Text) and isinstance(two[0], Text):
        return (*one[:-1], Text(f"{one[-1].text}\n\n{two[0].text}"), *two[1:])
    return (*one, *two)


def _one_text(message: Message) -> Message:
    """The message with one text, for servers that take no lists of parts."""
    texts = [part for part in message.parts if isinstance(part, Text)]
    if message.role == "tool":
        return replace(message, parts=tuple(_one_result(part) for part in message.parts))
    if len(texts) < 2:  # noqa: PLR2004  one text is one already
        return message
    joined = Text(("\n" if message.role == "user" else "").join(part.text for part in texts))
    others = [part for part in message.parts if not isinstance(part, Text)]
    return replace(message, parts=(joined, *others))


def _one_result(part: Part) -> Part:
    if not isinstance(part, ToolResult) or len(part.content) < 2:  # noqa: PLR2004
        return part
    return replace(part, content=(Text(part.text),))
