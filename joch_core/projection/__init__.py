"""A request made acceptable for one target, and the list of what that costs.

`project` is the single place where anything is dropped, renamed, flattened or transformed on the way to a provider: the
live call, the dry run, the preview and the `ProviderSwitched` event all show the gaps that it returns. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from joch_core.capabilities import Gap, Target
from joch_core.messages import ModelRequest
from joch_core.projection.exchanges import project_messages
from joch_core.projection.losses import Losses
from joch_core.projection.names import sent_name
from joch_core.projection.natives import own_fields
from joch_core.projection.roles import project_roles
from joch_core.projection.tokens import estimate_tokens
from joch_core.projection.tools import project_options, project_tools

__all__ = ["Projected", "estimate_tokens", "project"]


@dataclass(frozen=True, slots=True)
class Projected:
    """A request that its target takes, every gap, and the names that come back: sent name -> the caller's, of tools and of their arguments.

    `blocking` are the gaps with which the target is no candidate for a live call.
    """

    request: ModelRequest
    gaps: tuple[Gap, ...] = ()
    blocking: tuple[Gap, ...] = ()
    tool_names: Mapping[str, str] = field(default_factory=dict)
    argument_names: Mapping[str, str] = field(default_factory=dict)


def project(request: ModelRequest, target: Target) -> Projected:
    """Make a request acceptable for a target. The request itself is not changed."""
    losses = Losses()
    keys: dict[str, str] = {}
    tools = project_tools(request.tools, target, losses, keys)
    messages = project_roles(project_messages(request.messages, target, losses, keys), target, losses)
    change = project_options(replace(request, tools=tools) if tools is not request.tools else request, target, losses, keys)
    native, left_out = own_fields(request.native, target)
    if left_out:
        losses.warn("parameter.dropped", f"{', '.join(left_out)}: known to another server only, left out")
    sent = replace(request, messages=tuple(messages), tools=tools, native=native, **change)
    functions = (tool.name for tool in request.tools if tool.kind != "server")
    names = {short: name for name in functions if (short := sent_name(name, target.dialect.tool_name_chars)) != name}
    return Projected(sent, tuple(losses.gaps), tuple(losses.blocking), names, {sent: own for own, sent in keys.items()})
