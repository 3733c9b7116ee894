"""Events to a StateCheckpoint: deterministic, bounded, addressed by its own content. Pure.

The same log, configuration and target give a byte-identical body in every process: no clock, no randomness, no floats.
Sources, in order of trust: explicit records; lines that the user or the operator marked; the first and newest user turn.
Nothing is ever taken from the text of a tool's result or a memory, and a decision is never guessed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from joch_core.capabilities import Gap
from joch_core.messages import Json
from joch_core.migration.history import Action, Entry, History, same
from joch_core.resources.events import canonical_json

ALGORITHM = "joch/extract@1"

_GOAL_CHARS, _ITEM_CHARS, _HEURISTIC_CHARS = 500, 240, 280
_DECISIONS_NEW, _DECISIONS_OLD = 15, 5
_QUESTIONS, _ARTIFACTS, _MEMORIES, _LEDGER_ROWS = 10, 20, 20, 30
_MARKER = re.compile(r"^(Goal|Decision|Open question|Task):\s*(\S.*)$", re.MULTILINE)
#: A code fence, also one that is never closed.
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1[`~]*\s*$|\Z)", re.MULTILINE | re.DOTALL)
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

    @property
    def question(self) -> int | None:
        """The user's turn that stands before the window, where the window begins inside an agent's loop."""
        found = self.spec.get("questionAt")
        return None if found is None else int(found)


@dataclass(slots=True)
class _Marked:
    """What trusted speakers marked in their own lines."""

    goal: str | None = None
    task: str | None = None
    decisions: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


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
    question, window_from = _window_of(history, window)
    summary: Json = {
        "userGoal": _cut(history.goal or marked.goal or _first_user(history), _GOAL_CHARS, "userGoal", truncated),
        "currentTask": _cut(history.task or marked.task or _last_user(history), _GOAL_CHARS, "currentTask", truncated),
        "decisions": _decisions([*marked.decisions, *history.decisions], truncated),
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
        "ledger": _ledger(history, window_from, truncated),
        "capabilityDeltas": [gap.as_json() for gap in gaps if gap.level != "ok"],
        "truncated": truncated,
        "headSeq": history.head_sequence,
        "headHash": history.head_hash,
        "windowFrom": window_from,
        "questionAt": question,
        "algorithm": ALGORITHM,
    }
    spec = {name: value for name, value in spec.items() if value is not None}
    digest = hashlib.sha256(canonical_json(spec).encode("utf-8", "surrogatepass")).hexdigest()
    return Checkpoint(f"chk-{digest[:12]}", spec)


def _window_of(history: History, window: Sequence[Entry]) -> tuple[int | None, int]:
    """Where the window begins, and the user's turn that goes over before it if there is a hole between the two."""
    if not window:
        return None, history.head_sequence + 1
    if len(window) > 1:
        between = any(window[0].sequence < entry.sequence < window[1].sequence for entry in history.entries)
        if between:
            return window[0].sequence, window[1].sequence
    return None, window[0].sequence


def _markers(history: History) -> _Marked:
    """Lines `Goal:`, `Decision:`, `Open question:`, `Task:` of the user and the operator, outside code fences."""
    marked = _Marked()
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
                    marked.decisions.append(words)
                case _:
                    marked.questions.append(words)
    return marked


def _first_user(history: History) -> str | None:
    text = next(
        (entry.message.text for entry in history.entries if entry.message.role == "user" and entry.message.text), None
    )
    return None if text is None else _at_word(_unmarked(text), _HEURISTIC_CHARS)


def _last_user(history: History) -> str | None:
    text = next((entry.message.text for entry in reversed(history.entries) if entry.message.role == "user"), None)
    return None if not text else _at_word(_unmarked(text), _HEURISTIC_CHARS)


def _unmarked(text: str) -> str:
    """A user's words without the lines that were read as a goal or a decision; all of them, if there are no others."""
    outside = _FENCE.sub("", text)
    return text if not _MARKER.sub("", outside).strip() or outside != text else _MARKER.sub("", text)


def _questions(history: History, marked: _Marked) -> list[str]:
    explicit = [*marked.questions, *history.questions.values()]
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


def _ledger(history: History, window_from: int, truncated: Json) -> list[Json]:
    """What was done outside the window, newest last; every call whose outcome is unknown, wherever it stands."""
    known = history.actions.values()
    rows = [
        _row(action) for action in known if action.effect != "read_only" and (action.sequence < window_from or _open(action))
    ]
    rows += _unguarded(history, {action.call_id for action in known}, window_from)
    rows.sort(key=lambda row: (int(row["n"]), row["what"], row["with"]))
    done = [row for row in rows if not row["outcome"].startswith("unknown")]
    if len(done) > _LEDGER_ROWS:
        truncated["ledger"] = len(done) - _LEDGER_ROWS
        gone = {id(row) for row in done[:-_LEDGER_ROWS]}
        rows = [row for row in rows if id(row) not in gone]
    return rows


_UNKNOWN = "unknown: do not repeat, verify first"


def _open(action: Action) -> bool:
    return action.phase in ("Running", "Unknown")


def _row(action: Action) -> Json:
    outcome = _UNKNOWN if _open(action) else "done" if action.phase == "Succeeded" else "failed"
    return {
        "n": action.sequence,
        "what": action.tool,
        "with": _arguments(action.args),
        "outcome": outcome,
        "key": action.key[:16],
        "turn": action.turn,
    }


def _unguarded(history: History, guarded: Container[str], window_from: int) -> list[Json]:
    """Calls that were made without the ledger: a tool that says nothing counts as one that changes the world."""
    results = {result.call_id: result for entry in history.entries for result in entry.message.tool_results}
    rows: list[Json] = []
    for entry in history.entries:
        if entry.sequence >= window_from:
            break
        for call in entry.message.tool_calls:
            if call.id in guarded:
                continue
            result = results.get(call.id)
            outcome = _UNKNOWN if result is None else "failed" if result.error else "done"
            row = {
                "n": entry.sequence,
                "what": call.name,
                "with": _arguments(call.args),
                "outcome": outcome,
                "turn": entry.turn,
            }
            rows.append(row)
    return rows


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
