"""What the strict rules must know about models, read from their names. Pure.

The simulator takes any model name; these functions say how the real model of that name behaves.
"""

from __future__ import annotations

import re

_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_CLAUDE = re.compile(
    r"claude-(?:(?P<old>\d)(?:-(?P<oldminor>\d))?-)?(?P<family>[a-z]+)(?:-(?P<major>\d)(?:[-.](?P<minor>\d{1,2}))?(?!\d))?"
)
_GEMINI = re.compile(r"gemini-(\d+)(?:\.(\d+))?")


def gpt(model: str) -> tuple[int, int]:
    """The version of a GPT model, (0, 0) for others."""
    found = _GPT.match(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def reasons(model: str) -> bool:
    """Is this one of OpenAI's reasoning models: o1, o3, o4 …, gpt-5 and newer without `chat` in the name?"""
    return bool(re.match(r"o\d", model)) or (gpt(model) >= (5, 0) and "chat" not in model)


def effort(model: str, given: str | None) -> str | None:
    """The reasoning effort that is in force; GPT 5.1 to 5.4 do not reason unless they are told to."""
    if given is not None or not reasons(model):
        return given
    return "none" if (5, 1) <= gpt(model) <= (5, 4) and "codex" not in model and "pro" not in model else "medium"


def claude(model: str) -> tuple[str, tuple[int, int]]:
    """Family and version of a Claude model: `claude-opus-4-7` is `opus`, (4, 7). Others: empty, (0, 0)."""
    found = _CLAUDE.search(model)
    if found is None:
        return "", (0, 0)
    major = found["major"] or found["old"] or "0"
    minor = (found["minor"] if found["major"] else found["oldminor"]) or "0"
    return found["family"], (int(major), int(minor))


def newest_claude(model: str, since: tuple[int, int]) -> bool:
    """Is this a Claude of at least this version? Fable and Mythos count as newer than all."""
    family, version = claude(model)
    return family in ("fable", "mythos") or version >= since


def shows_reasoning(model: str, thinking: object) -> bool:
    """Is this DeepSeek in its thinking mode? https://api-docs.deepseek.com/guides/thinking_mode"""
    said = thinking.get("type") if isinstance(thinking, dict) else None
    by_default = re.search(r"reasoner|v[4-9]|deepseek-(flash|pro)", model) is not None
    return "deepseek" in model and (said == "enabled" or (said != "disabled" and by_default))


#: Input tokens that models accept, by the beginning of their names; the first that fits counts.
_WINDOWS = {
    "gpt-4.1": 1_047_576, "gpt-4o": 128_000, "gpt-5": 272_000, "gpt-oss": 131_072, "o1": 200_000, "o3": 200_000,
    "o4": 200_000, "claude": 200_000, "gemini": 1_048_576, "sonar": 127_072,
}  # fmt: skip


def window(model: str) -> int | None:
    """The input tokens that a model accepts; None: not known."""
    name = model.rpartition("/")[2]
    return next((size for start, size in _WINDOWS.items() if name.startswith(start)), None)


def gemini(model: str) -> tuple[int, int]:
    """The version of a Gemini model, (0, 0) for others."""
    found = _GEMINI.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
