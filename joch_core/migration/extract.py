"""Events to a StateCheckpoint: deterministic, bounded, addressed by its own content. Pure.

The same log, configuration and target give a byte-identical body in every process: no clock, no randomness, no floats.
Sources, in order of trust: explicit records; lines that the user or the operator marked; the first and newest user turn.
Nothing is ever taken from the text of a tool's result or a memory, and a decision is never guessed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from joch_core.capabilities import Gap
from joch_core.messages import Json
from joch_core.migration.history import Action, Entry, History, same
from joch_core.resources.events import canonical_json

ALGORITHM = "joch/extract@1"

_GOAL_CHARS, _ITEM_CHARS, _HEURISTIC_CHARS = 500, 240, 280
_DECISIONS_NEW, _DECISIONS_OLD = 15, 5
_QUESTIONS, _ARTIFACTS, _MEMORIES, _LEDGER_ROWS = 10, 20, 20, 30
_MARKER = re.compile(r"^(Goal|Decision|Open question|Task):\s*(\S.*)$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_QUESTION = re.compile(r"[^.!?\n]*\?(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that is not stored yet. `window_from` is the sequence of the first message that goes over as it is."""

    name: str
    spec: Json

    @property
    def window_from(self) -> int:
        """Where the recent window begins."""
        return int(self.spec["windowFrom"])


@dataclass(slots=True)
class _Marked:
    """What trusted speakers marked in their own lines."""

    goal: str | None = None
    task: str | None = None
    decisions: list[str] | None = None
    questions: list[str] | None = None


def build_checkpoint(
    history: History, window: Sequence[Entry], *, to_backend: str, from_backend: str | None, gaps: Iterable[Gap] = ()
) -> Checkpoint:
    """The checkpoint of a switch.

    Args:
        history: The fold of the log up to the switch.
        window: The entries that go over word for word.
        to_backend: Who takes over.
        from_backend: Who had it.
        gaps: What the switch costs.
    """
    truncated: Json = {}
    marked = _markers(history)
    window_from = window[0].sequence if window else history.head_sequence + 1
    summary: Json = {
        "userGoal": _cut(history.goal or marked.goal or _first_user(history), _GOAL_CHARS, "userGoal", truncated),
        "currentTask": _cut(history.task or marked.task or _last_user(history), _GOAL_CHARS, "currentTask", truncated),
        "decisions": _decisions([*(marked.decisions or ()), *history.decisions], truncated),
        "openQuestions": _items(_questions(history, marked), _QUESTIONS, "openQuestions", truncated),
        "activeArtifacts": _items(history.artifacts, _ARTIFACTS, "activeArtifacts", truncated),
        "relevantMemoryRefs": _items(list(history.memories), _MEMORIES, "relevantMemoryRefs", truncated),
    }
    spec: Json = {
        "conversationRef": {"name": history.name},
        "fromBackend": from_backend,
        "toBackend": to_backend,
        "summary": summary,
        "pinned": list(history.pinned),
        "ledger": _ledger(history.actions.values(), window_from, truncated),
        "capabilityDeltas": [gap.as_json() for gap in gaps if gap.level != "ok"],
        "truncated": truncated,
        "headSeq": history.head_sequence,
        "headHash": history.head_hash,
        "windowFrom": window_from,
        "algorithm": ALGORITHM,
    }
    spec = {name: value for name, value in spec.items() if value is not None}
    digest = hashlib.sha256(canonical_json(spec).encode("utf-8", "surrogatepass")).hexdigest()
    return Checkpoint(f"chk-{digest[:12]}", spec)


def _markers(history: History) -> _Marked:
    """Lines `Goal:`, `Decision:`, `Open question:`, `Task:` of the user and the operator, outside code fences."""
    marked = _Marked(decisions=[], questions=[])
    texts = [] if history.operator_prompt is None else [history.operator_prompt.text]
    texts += [entry.message.text for entry in history.entries if entry.message.role == "user"]
    for text in texts:
        for kind, value in _MARKER.findall(_FENCE.sub("", text)):
            words = value.strip()
            match kind:
                case "Goal":
                    marked.goal = words
                case "Task":
                    marked.task = words
                case "Decision":
                    (marked.decisions or []).append(words)
                case _:
                    (marked.questions or []).append(words)
    return marked


def _first_user(history: History) -> str | None:
    text = next(
        (entry.message.text for entry in history.entries if entry.message.role == "user" and entry.message.text), None
    )
    return None if text is None else _at_word(text, _HEURISTIC_CHARS)


def _last_user(history: History) -> str | None:
    text = next((entry.message.text for entry in reversed(history.entries) if entry.message.role == "user"), None)
    return None if not text else _at_word(text, _HEURISTIC_CHARS)


def _questions(history: History, marked: _Marked) -> list[str]:
    explicit = [*(marked.questions or ()), *history.questions.values()]
    if explicit:
        return explicit
    last = history.entries[-1].message if history.entries else None
    if last is None or last.role != "assistant":
        return []
    return [question.strip() for question in _QUESTION.findall(last.text) if question.strip()]


def _decisions(texts: Sequence[str], truncated: Json) -> list[str]:
    unique = _unique(texts)
    kept = unique
    if len(unique) > _DECISIONS_NEW + _DECISIONS_OLD:
        kept = [*unique[:_DECISIONS_OLD], *unique[-_DECISIONS_NEW:]]
        truncated["decisions"] = len(unique) - len(kept)
    return [_at_word(text, _ITEM_CHARS) for text in kept]


def _items(texts: Sequence[str], most: int, name: str, truncated: Json) -> list[str]:
    unique = _unique(texts)
    if len(unique) > most:
        truncated[name] = len(unique) - most
    return [_at_word(text, _ITEM_CHARS) for text in unique[-most:]]


def _unique(texts: Sequence[str]) -> list[str]:
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(same(text), text)
    return list(found.values())


def _ledger(actions: Iterable[Action], window_from: int, truncated: Json) -> list[Json]:
    """What was done outside the window, newest last; every call whose outcome is unknown, wherever it stands."""
    done: list[Json] = []
    unknown: list[Json] = []
    for action in sorted(actions, key=lambda action: action.sequence):
        open_ = action.phase in ("Running", "Unknown")
        if action.effect == "read_only" or (action.sequence >= window_from and not open_):
            continue
        row: Json = {
            "n": action.sequence,
            "what": action.tool,
            "with": _arguments(action.args),
            "outcome": "unknown: do not repeat, verify first"
            if open_
            else "done"
            if action.phase == "Succeeded"
            else "failed",
            "key": action.key[:16],
            "turn": action.turn,
        }
        (unknown if open_ else done).append(row)
    if len(done) > _LEDGER_ROWS:
        truncated["ledger"] = len(done) - _LEDGER_ROWS
        done = done[-_LEDGER_ROWS:]
    return sorted([*done, *unknown], key=lambda row: int(row["n"]))


def _arguments(args: Json) -> str:
    pairs = (f"{name}={args[name] if isinstance(args[name], str) else canonical_json(args[name])}" for name in sorted(args))
    return _at_word("; ".join(pairs), _ITEM_CHARS)


def _cut(text: str | None, chars: int, name: str, truncated: Json) -> str | None:
    if text is None:
        return None
    cut = _at_word(text, chars)
    if cut != " ".join(text.split()):
        truncated[name] = len(text) - len(cut)
    return cut


def _at_word(text: str, chars: int) -> str:
    """One line, cut at a word's border."""
    line = " ".join(text.split())
    if len(line) <= chars:
        return line
    head = line[: chars - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[chars // 2 :] else head) + "…"
