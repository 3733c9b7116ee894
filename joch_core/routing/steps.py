"""What a call may ask for while it decides: three kinds of step, and what a driver answers. Values only."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from joch_core.capabilities import Gap, Target
from joch_core.messages import ModelRequest, Reply
from joch_core.resources.commits import Commit
from joch_core.resources.events import Draft
from joch_core.resources.model import Model


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request made ready for one backend: projected, with every loss, and the drafts that a switch adds to the log."""

    request: ModelRequest
    gaps: tuple[Gap, ...] = ()
    blocking: tuple[Gap, ...] = ()
    tool_names: Mapping[str, str] = field(default_factory=dict)
    argument_names: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    drafts: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """Write this; the answer is a `Committed`."""

    commit: Commit


@dataclass(frozen=True, slots=True)
class Send:
    """Ask this backend; the answer is an `Answered`, or a `ProviderError` or `StreamInterrupted` is thrown in."""

    model: Model
    target: Target
    prepared: Prepared
    seed: str
    attempt_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and how long it took."""

    reply: Reply
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a while; the answer is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Restart:
    """Tell the caller of a stream that what it has seen is void; the answer is None."""


class Abandoned(Exception):
    """The caller has left: closed the stream, cancelled the task, pressed Ctrl-C."""


Step = Record | Send | Wait | Restart
Flow = Generator[Step, Any, Reply]
