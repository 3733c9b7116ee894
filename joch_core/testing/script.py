"""What the simulator shall answer: turns, scripts, and their YAML form. No wire format, no I/O but reading one file.

::

    turns:                                   # for every provider
      - text: Hello.
    scripts:
      - provider: openai                     # or an api name such as openai-responses
        model: gpt-5-mini
        turns:
          - reasoning: The user wants the weather.
            tool_calls: [{name: get_weather, args: {city: Bonn}}]
          - text: It rains in Bonn.
            usage: {input_tokens: 120, output_tokens: 9}
    faults:
      - {provider: openai, status: 503, times: 2}
    windows: {gpt-5-mini: 4000}              # input tokens a model accepts
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from joch_core.errors import InvalidArgument
from joch_core.messages import Json

Finish = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tool call that the simulated model shall make; without an id it gets one in the style of its API."""

    name: str
    args: Json = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer. `usage` overrides counted tokens: input_tokens, output_tokens, cache_read_tokens, reasoning_tokens.

    `when`, if given, must stand in the newest user text, else the turn is passed over for this request.
    """

    text: str = ""
    tool_calls: tuple[Wanted, ...] = ()
    reasoning: str = ""
    refusal: str | None = None
    finish: Finish | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    when: str | None = None

    @property
    def ending(self) -> Finish:
        """Why the answer ends, where the turn does not say it itself."""
        if self.finish is not None:
            return self.finish
        return "refusal" if self.refusal is not None else "tool_calls" if self.tool_calls else "stop"


TurnLike = Turn | str | Mapping[str, Any]


def turn(value: TurnLike) -> Turn:
    """A turn from a turn, a text, or a mapping with the fields of `Turn`.

    Raises:
        InvalidArgument: the mapping has a field that a turn does not have.
    """
    if isinstance(value, Turn):
        return value
    if isinstance(value, str):
        return Turn(value)
    given = dict(value)
    unknown = set(given) - set(Turn.__dataclass_fields__)
    if unknown:
        raise InvalidArgument(
            f"a turn has no field {', '.join(sorted(unknown))}; it has {', '.join(Turn.__dataclass_fields__)}"
        )
    given["tool_calls"] = tuple(
        call if isinstance(call, Wanted) else Wanted(call["name"], dict(call.get("args") or {}), call.get("id"))
        for call in given.get("tool_calls") or ()
    )
    return Turn(**given)


@dataclass(frozen=True, slots=True)
class Script:
    """Turns, in order, for the requests of one provider (or api) and model; None means: any.

    When the turns are used up, the built-in behaviour answers, unless `repeat_last` is set.
    """

    turns: tuple[Turn, ...]
    provider: str | None = None
    model: str | None = None
    repeat_last: bool = False

    @classmethod
    def of(
        cls,
        turns: Iterable[TurnLike],
        *,
        provider: str | None = None,
        model: str | None = None,
        repeat_last: bool = False,
    ) -> Script:
        """A script from texts, mappings or turns."""
        return cls(tuple(turn(value) for value in turns), provider, model, repeat_last)


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A whole script file: scripts, faults (as keyword arguments of `Simulator.fail`), and input windows per model."""

    scripts: tuple[Script, ...] = ()
    faults: tuple[Json, ...] = ()
    windows: Mapping[str, int] = field(default_factory=dict)


def read_script(source: str | Path | Mapping[str, Any] | Sequence[TurnLike]) -> ScriptFile:
    """A script file from a path, YAML text, a parsed mapping, or a plain list of turns.

    Raises:
        InvalidArgument: it is none of these, or has an unknown field.
    """
    value: Any = source
    if isinstance(source, Path) or (isinstance(source, str) and "\n" not in source and Path(source).is_file()):
        value = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    elif isinstance(source, str):
        value = yaml.safe_load(source)
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = {"turns": value}
    if not isinstance(value, Mapping):
        raise InvalidArgument("a script is a list of turns or a mapping with turns, scripts, faults and windows")
    unknown = set(value) - {"turns", "scripts", "faults", "windows"}
    if unknown:
        raise InvalidArgument(f"a script file has no field {', '.join(sorted(map(str, unknown)))}")
    scripts = [Script.of(**{**entry, "turns": entry.get("turns") or ()}) for entry in value.get("scripts") or ()]
    if value.get("turns"):
        scripts.append(Script.of(value["turns"]))
    return ScriptFile(tuple(scripts), tuple(value.get("faults") or ()), dict(value.get("windows") or {}))


class Scripts:
    """The scripts of a running simulator and how far each one is. The newest script that fits answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[tuple[Script, list[Turn]]] = []

    def add(self, script: Script) -> None:
        with self._lock:
            self._entries.insert(0, (script, list(script.turns)))

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def take(self, names: Sequence[str], model: str, user_text: str) -> Turn | None:
        """The next turn for a request; `names` are the provider's name and the api's."""
        with self._lock:
            for script, left in self._entries:
                if script.provider not in (None, *names) or script.model not in (None, model):
                    continue
                for index, candidate in enumerate(left):
                    if candidate.when is not None and candidate.when not in user_text:
                        continue
                    if not (script.repeat_last and len(left) == 1):
                        del left[index]
                    return candidate
        return None


def as_json(value: Turn) -> Json:
    """The facts of a turn for the journal."""
    out: Json = {"finish": value.ending}
    if value.text:
        out["text"] = value.text
    if value.tool_calls:
        out["tool_calls"] = [{"name": call.name, "args": call.args, "id": call.id} for call in value.tool_calls]
    if value.refusal is not None:
        out["refusal"] = value.refusal
    return out
