"""A conversation made ready for one backend: as it is while it stays there, from a checkpoint when it moves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from joch_core.app.intake import Intake
from joch_core.capabilities import Gap, Target
from joch_core.messages import Message, ModelRequest
from joch_core.migration.check import check_lines, cold_cache, outcome_gaps, summary_gaps, switch_gaps
from joch_core.migration.extract import Checkpoint, build_checkpoint
from joch_core.migration.reconstruct import Bounds, check_room, reconstruct
from joch_core.migration.window import recent_window
from joch_core.projection import Projected, project
from joch_core.projection.tokens import estimate_tokens
from joch_core.resources.events import Draft
from joch_core.resources.route import Migration
from joch_core.routing.steps import Prepared


@dataclass(frozen=True, slots=True)
class Moved:
    """What a switch would send and leave behind."""

    request: ModelRequest
    projected: Projected
    gaps: tuple[Gap, ...]
    checkpoint: Checkpoint
    summarised: int


def prepare_in_conversation(
    intake: Intake, request: ModelRequest, target: Target, source: Target | None, migration: Migration, *, switching: bool
) -> Prepared:
    """The request for this target. With `switching` a new checkpoint is made, and the drafts that record it.

    Raises:
        ContextTooSmall: what must be sent does not fit.
    """
    if switching and intake.history.backend is not None:
        moved = move(intake, request, target, source, migration)
        created = Draft("CheckpointCreated", {"name": moved.checkpoint.name, "spec": moved.checkpoint.spec})
        return _prepared(moved.projected, moved.gaps, moved.checkpoint.name, (created,))
    messages = _stretch(intake, request, target, migration)
    projected = project(replace(request, messages=messages), target)
    check_room(projected.request.messages, target.input_window, _tools(request))
    return _prepared(projected, projected.gaps)


def move(intake: Intake, request: ModelRequest, target: Target, source: Target | None, migration: Migration) -> Moved:
    """The conversation as a new backend would receive it.

    Raises:
        ContextTooSmall: what must be sent does not fit.
    """
    history = intake.history
    bounds = _bounds(intake, request, target, migration)
    window = recent_window(history.entries, bounds.window_tokens, bounds.room_tokens)
    whole = replace(request, messages=intake.messages)
    # The losses are those of the whole conversation: what is summarised away is lost to the new model, too.
    summarised = len(history.entries) - len(window)
    gaps = (
        *switch_gaps(intake.messages, project(whole, target), target, source),
        *summary_gaps(summarised),
        *outcome_gaps(history),
    )
    checkpoint = build_checkpoint(history, window, to_backend=target.backend, from_backend=history.backend, gaps=gaps)
    sent = replace(request, messages=reconstruct(history, checkpoint, bounds))
    projected = project(sent, target)
    check_room(projected.request.messages, target.input_window, _tools(request))
    return Moved(sent, projected, (*gaps, cold_cache(projected)), checkpoint, summarised)


def report_lines(
    intake: Intake,
    request: ModelRequest,
    target: Target,
    source: Target | None,
    moved: Moved,
    required_window: int | None = None,
) -> Sequence[Gap]:
    """The lines of the compatibility check of this switch. `required_window` (tokens) is what the route asks for."""
    whole = replace(request, messages=intake.messages)
    shown = replace(moved.projected, gaps=moved.gaps)
    return check_lines(whole, shown, target, source, summarised=moved.summarised, required_window=required_window)


def _stretch(intake: Intake, request: ModelRequest, target: Target, migration: Migration) -> tuple[Message, ...]:
    history = intake.history
    if history.checkpoint is None or history.checkpoint_spec is None:
        return intake.messages
    bounds = _bounds(intake, request, target, migration)
    return reconstruct(history, Checkpoint(history.checkpoint, history.checkpoint_spec), bounds)


def _bounds(intake: Intake, request: ModelRequest, target: Target, migration: Migration) -> Bounds:
    prompt = intake.history.operator_prompt
    fixed = estimate_tokens(replace(request, messages=() if prompt is None else (prompt,)))
    return Bounds.of(
        recent=migration.recent_window_tokens,
        memory=migration.memory_tokens,
        share=migration.checkpoint_share,
        input_window=target.input_window,
        fixed=fixed,
    )


def _tools(request: ModelRequest) -> int:
    return estimate_tokens(replace(request, messages=()))


def _prepared(
    projected: Projected, gaps: tuple[Gap, ...], checkpoint: str | None = None, drafts: tuple[Draft, ...] = ()
) -> Prepared:
    return Prepared(
        projected.request, gaps, projected.blocking, projected.tool_names, projected.argument_names, checkpoint, drafts
    )
