"""What a route can do, in LlamaIndex's terms: what every backend that may answer can, so that a host never plans with more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata, MessageRole
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.llms.joch.settings import Destination

from joch_core import Joch, ModelRoute, NotFound


def _targets(joch: Joch, route: ModelRoute) -> Iterator[Any]:
    """The backends that meet the route's own requirements; the others are never asked."""
    wanted = route.spec.requirements
    for backend in route.candidates:
        try:
            target = joch.catalog.model(backend).target(backend)
        except NotFound:  # a candidate that nobody has described is never asked either
            continue
        wide = wanted.context_window_min is None or (target.input_window or 0) >= wanted.context_window_min
        long = wanted.max_output_min is None or (target.max_output or 0) >= wanted.max_output_min
        if wide and long and all(target.can(capability) for capability in wanted.demanded):
            yield target


def metadata_of(joch: Joch, to: Destination, max_tokens: int | None) -> LLMMetadata:
    """The metadata of a route: the smallest window, and function calling where all backends have it.

    The window is what a backend accepts as input. LlamaIndex takes `num_output` off it, so that is at most half of it.

    Raises:
        JochError: the route is not known.
    """
    targets = list(_targets(joch, joch.route(to.route)))
    window = min((target.input_window or DEFAULT_CONTEXT_WINDOW for target in targets), default=DEFAULT_CONTEXT_WINDOW)
    longest = min((target.max_output or DEFAULT_NUM_OUTPUTS for target in targets), default=DEFAULT_NUM_OUTPUTS)
    return LLMMetadata(
        context_window=window,
        num_output=max_tokens or min(longest, window // 2),
        is_chat_model=True,
        is_function_calling_model=bool(targets) and all(target.can("toolCalling") for target in targets),
        model_name=to.name,
        system_role=MessageRole.SYSTEM,
    )
