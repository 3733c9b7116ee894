"""Which part of a conversation goes over word for word: whole exchanges, newest first, within a budget. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from joch_core.messages import Part, Text, ToolResult
from joch_core.migration.history import Entry
from joch_core.projection.tokens import message_tokens

_RESULT_CHARS = 8_000


def units(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The conversation in pieces that must not be split: a user's turn, or an assistant's turn with all its results."""
    out: list[list[Entry]] = []
    for entry in entries:
        if entry.message.role == "tool" and out:
            out[-1].append(entry)
        else:
            out.append([entry])
    return out


def recent_window(entries: Sequence[Entry], budget_tokens: int, room_tokens: int | None = None) -> list[Entry]:
    """The newest whole units that fit.

    The newest user turn goes over in any case: cutting what the model is to answer would change the question. What has been
    done since goes over with it, as far as the target has room.

    Args:
        entries: The log, oldest first.
        budget_tokens: How much of what lies before the newest user turn may go over.
        room_tokens: What the target can take at all; None: not known.
    """
    pieces = units(entries)
    last_user = max((place for place, piece in enumerate(pieces) if piece[0].message.role == "user"), default=0)
    question = _tokens(pieces[last_user]) if pieces else 0
    taken: list[list[Entry]] = []
    used = 0
    for place in range(len(pieces) - 1, -1, -1):
        piece = pieces[place]
        used += _tokens(piece)
        if place < last_user and used > budget_tokens:
            break
        if place > last_user and taken and room_tokens is not None and used + question > room_tokens:
            # A long loop of an agent: its newest steps go over, and the question that they are about stands before them.
            return [*pieces[last_user], *_flat(reversed(taken))]
        taken.append(piece)
    taken.reverse()
    while len(taken) > 1 and taken[0][0].message.role != "user" and _has_user(taken):
        # An answer whose question is gone would only puzzle the new model.
        taken.pop(0)
    return _flat(taken)


def trimmed(entry: Entry) -> Entry:
    """The entry, with oversized results cut in the middle; a user's words are never cut."""
    message = entry.message
    if message.role != "tool" or all(len(part.text) <= _RESULT_CHARS for part in message.tool_results):
        return entry
    return replace(entry, message=replace(message, parts=tuple(map(_trim_result, message.parts))))


def _trim_result(part: Part) -> Part:
    if not isinstance(part, ToolResult) or len(part.text) <= _RESULT_CHARS:
        return part
    text = part.text
    half = _RESULT_CHARS // 2
    left_out = len(text[half:-half].encode("utf-8", "surrogatepass"))
    short = Text(f"{text[:half]}\n[… {left_out:,} bytes left out …]\n{text[-half:]}")
    # What the provider said beyond the text would bring the whole text back.
    return replace(part, content=(short, *(item for item in part.content if not isinstance(item, Text))), native=None)


def _tokens(piece: Sequence[Entry]) -> int:
    return sum(message_tokens(trimmed(entry).message) for entry in piece)


def _flat(pieces: Iterable[Sequence[Entry]]) -> list[Entry]:
    return [entry for piece in pieces for entry in piece]


def _has_user(pieces: Sequence[Sequence[Entry]]) -> bool:
    return any(piece[0].message.role == "user" for piece in pieces[1:])
