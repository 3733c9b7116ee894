"""Where LangChain's users look for what happened: a custom event when the provider was changed, metadata on the traced run.

The facts are those of `response_metadata["joch"]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config

from joch_core import Json
from langchain_joch.identity import captured
from langchain_joch.messages import KEY

#: The event that `astream_events` and callback handlers see.
SWITCHED = "joch.provider_switched"
_ON_THE_RUN = ("route", "backend", "execution", "conversation", "attempts", "switched_from", "reason", "cost_usd")


class Run(NamedTuple):
    """The run of a call: who looks at it, its id, and the id of the run that it is a part of."""

    handlers: Sequence[Any] = ()
    run_id: Any = None
    parent_run_id: Any = None


def _run(manager: Any) -> Run:
    """The run that a callback manager stands for. A stream is given none: it is the run that its caller's config names."""
    if manager is not None:
        return Run(manager.handlers, manager.run_id, manager.parent_run_id)
    config = captured()
    if config is None:
        return Run()
    outer = get_callback_manager_for_config(ensure_config(config))
    return Run(outer.handlers, config.get("run_id"), outer.parent_run_id)


def _noted(manager: Any, message: BaseMessage) -> Json | None:
    facts: Json = message.response_metadata[KEY]
    run = _run(manager)
    told = {f"joch_{name}": facts[name] for name in _ON_THE_RUN if facts.get(name) is not None}
    names = {"ls_provider": "model_provider", "ls_model_name": "model_name"}
    told |= {name: message.response_metadata[known] for name, known in names.items()}
    for handler in run.handlers:
        traced = getattr(handler, "run_map", {}).get(str(run.run_id))
        if (add := getattr(traced, "add_metadata", None)) is not None:
            add(told)
    return facts if facts.get("switched_from") is not None and run.parent_run_id is not None else None


def tell(manager: Any, message: BaseMessage) -> None:
    """Make an answer's facts visible: on the traced run always, as an event if the provider was changed for it.

    LangSmith counts costs and groups runs by `ls_provider` and `ls_model_name`: they become those of the backend that
    answered. A call that is no part of another run has no event, since LangChain knows no place for one.
    """
    if (facts := _noted(manager, message)) is not None:
        dispatch_custom_event(SWITCHED, facts, config=captured())


async def atell(manager: Any, message: BaseMessage) -> None:
    """`tell` for asynchronous handlers."""
    if (facts := _noted(manager, message)) is not None:
        await adispatch_custom_event(SWITCHED, facts, config=captured())
