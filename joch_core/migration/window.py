"""Which part of a conversation goes over word for word: whole exchanges, newest first, within a budget. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from joch_core.migration.history import Entry
from joch_core.projection.tokens import message_tokens


def units(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The conversation in pieces that must not be split: a user's turn, or an assistant's turn with all its results."""
    out: list[list[Entry]] = []
    for entry in entries:
        if entry.message.role == "tool" and out:
            out[-1].append(entry)
        else:
            out.append([entry])
    return out


def recent_window(entries: Sequence[Entry], budget_tokens: int) -> list[Entry]:
    """The newest whole units that fit.

    The newest user turn, and everything after it, goes over in any case: cutting what the model is to answer would change
    the question. A window that would begin inside an agent's loop begins with that loop's own user turn.
    """
    pieces = units(entries)
    last_user = max((place for place, piece in enumerate(pieces) if piece[0].message.role == "user"), default=0)
    taken: list[list[Entry]] = []
    used = 0
    for place in range(len(pieces) - 1, -1, -1):
        piece = pieces[place]
        used += sum(message_tokens(entry.message) for entry in piece)
        if used > budget_tokens and place < last_user:
            break
        taken.append(piece)
    taken.reverse()
    while len(taken) > 1 and taken[0][0].message.role != "user" and _has_user(taken):
        # An answer whose question is gone would only puzzle the new model.
        taken.pop(0)
    return [entry for piece in taken for entry in piece]


def _has_user(pieces: Sequence[Sequence[Entry]]) -> bool:
    return any(piece[0].message.role == "user" for piece in pieces[1:])
