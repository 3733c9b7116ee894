"""What a switch of this very conversation would change or lose, line by line, before anything is done. Pure.

The gaps are those of the projection of the very request that the target would receive, so that the dry run, the switch and
its event show one list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joch_core.capabilities import Gap, Target
from joch_core.messages import Message, ModelRequest
from joch_core.migration.history import History
from joch_core.projection import Projected
from joch_core.projection.tokens import estimate_tokens
from joch_core.projection.tools import server_capability

#: The one line that no switch is without: a policy that counts warnings does not count it.
COLD = "cache.cold"
_ORDER = {"ok": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The lines of a compatibility check, and whether policy and target allow the switch."""

    lines: tuple[Gap, ...]
    allowed: bool = True
    reason: str = ""


def check_lines(
    request: ModelRequest,
    projected: Projected,
    target: Target,
    source: Target | None,
    *,
    summarised: int = 0,
    required_window: int | None = None,
) -> tuple[Gap, ...]:
    """Every line: what holds, what changes, what is lost.

    Args:
        request: The whole conversation with its tools, before projection.
        projected: The same for the target.
        target: Who would take over.
        source: Who has it now, if it is known.
        summarised: How many messages go over as a summary only.
        required_window: The input window that the route asks for, in tokens.
    """
    if any(tool.kind != "server" for tool in request.tools) and not target.can("toolCalling"):
        lost = [Gap("fail", "tools", "Tool calling unavailable; the agent cannot work there")]
    else:
        lost = []
    lines = [
        *_holds(projected.request, target, required_window),
        *lost,
        *switch_gaps(request.messages, projected, target, source),
    ]
    lines += summary_gaps(summarised)
    lines.append(cold_cache(projected))
    return tuple(sorted(dict.fromkeys(lines), key=lambda line: _ORDER[line.level]))


def switch_gaps(messages: Sequence[Message], projected: Projected, target: Target, source: Target | None) -> tuple[Gap, ...]:
    """The gaps that a switch leaves behind: those of the projection, and what changes its form only."""
    gaps = list(projected.gaps)
    moved = source is None or source.api != target.api
    codes = {gap.code for gap in gaps}
    if moved and "image.dropped" not in codes and _has(messages, "image"):
        gaps.append(Gap("warn", "image.transformed", "Previous turn used image input; image format will be transformed"))
    if moved and "file.dropped" not in codes and _has(messages, "file"):
        gaps.append(Gap("warn", "file.transformed", "Previous turn used a file; file format will be transformed"))
    return tuple(gaps)


def cold_cache(projected: Projected) -> Gap:
    """What every switch costs, and none can avoid."""
    tokens = estimate_tokens(projected.request)
    return Gap("warn", COLD, f"The prompt cache is cold: about {tokens:,} tokens are read anew")


def summary_gaps(messages: int) -> tuple[Gap, ...]:
    """The line that says how many messages do not go over word for word."""
    if not messages:
        return ()
    text = f"{messages} earlier messages go over as a checkpoint, not word for word"
    return (Gap("warn", "history.summarised", text),)


def outcome_gaps(history: History) -> tuple[Gap, ...]:
    """One line for each call that began and of which nobody knows how it ended."""
    return tuple(
        Gap("warn", "outcome.unknown", f"Outcome of {action.tool} (event {action.sequence}) is unknown; it is not repeated")
        for action in history.actions.values()
        if action.phase in ("Running", "Unknown") and action.effect != "read_only"
    )


def _holds(request: ModelRequest, target: Target, required_window: int | None) -> list[Gap]:
    lines = [Gap("ok", "text", "Text conversation supported")]
    client = [tool for tool in request.tools if tool.kind != "server"]
    if any(tool.mcp for tool in client) or any(
        tool.kind == "server" and server_capability(tool.name) == "mcp" for tool in request.tools
    ):
        lines.append(Gap("ok", "tools.mcp", "MCP tools supported"))
    if any(not tool.mcp for tool in client):
        lines.append(Gap("ok", "tools", "Tools supported"))
    needed = estimate_tokens(request)
    if target.input_window is None:
        lines.append(Gap("warn", "context.window", "The input window is not known; the request may not fit"))
    elif required_window is not None and required_window > target.input_window:
        text = f"{_window(required_window)} context required, and the input window is {target.input_window:,} tokens"
        lines.append(Gap("fail", "context.window", text))
    elif needed <= target.input_window:
        shown = _window(required_window or target.input_window)
        lines.append(Gap("ok", "context.window", f"{shown} context sufficient"))
    else:
        lines.append(
            Gap("fail", "context.window", f"About {needed:,} tokens do not fit the input window of {target.input_window:,}")
        )
    return lines


def _window(tokens: int) -> str:
    return f"{tokens // 1000}k" if tokens >= 1000 else str(tokens)  # noqa: PLR2004


def _has(messages: Sequence[Message], kind: str) -> bool:
    return any(
        part.type == kind or (part.type == "tool_result" and any(item.type == kind for item in part.content))
        for message in messages
        for part in message.parts
    )
