"""`init_chat_model("joch:research-default")`, for those who ask for it."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Make LangChain's `init_chat_model` know the provider `joch`; the model's name is the route's.

    LangChain has no door for this, so its own table is written to. Nothing does it at import.

    Raises:
        RuntimeError: this version of LangChain keeps no such table; use `JochChatModel(route=…)`.
    """
    from langchain.chat_models import base

    table: Any = getattr(base, "_BUILTIN_PROVIDERS", None)
    if not isinstance(table, dict):
        raise RuntimeError(  # noqa: TRY004  not the caller's type is wrong
            "this version of LangChain has no table of providers: use JochChatModel(route=…)"
        )
    table["joch"] = ("langchain_joch", "JochChatModel", lambda cls, **kwargs: cls(**kwargs))
