"""What a route can do, in LangChain's terms: what every one of its backends can, so that a host never plans with more."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import ModelProfile

from joch_core import Joch


def _of(target: Any) -> ModelProfile:
    vision, files, tools = target.can("vision"), target.can("files"), target.can("toolCalling")
    return {
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": vision,
        "image_url_inputs": vision and target.dialect.image_urls,
        "image_tool_message": vision,
        "pdf_inputs": files,
        "pdf_tool_message": files,
        "audio_inputs": target.can("audio"),
        "reasoning_output": target.can("reasoning"),
        "tool_calling": tools,
        "tool_choice": tools and target.dialect.forced_tool_choice,
        "structured_output": target.can("structuredOutput"),
        "temperature": "temperature" in target.dialect.parameters,
    }


def profile_of(joch: Joch, route: Any) -> ModelProfile | None:
    """The profile of a route; a window that is not known of every backend is left out.

    Raises:
        JochError: the route or one of its backends is not known.
    """
    targets = [joch.catalog.model(backend).target(backend) for backend in joch.route(route).candidates]
    if not targets:
        return None
    first, *others = map(_of, targets)
    out: Any = {name: held and all(other.get(name) for other in others) for name, held in first.items()}
    for name, windows in (
        ("max_input_tokens", [target.input_window for target in targets]),
        ("max_output_tokens", [target.max_output for target in targets]),
    ):
        known = [window for window in windows if window is not None]
        if len(known) == len(windows):
            out[name] = min(known)
    profile: ModelProfile = out
    return profile
