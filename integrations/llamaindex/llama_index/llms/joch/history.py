"""A conversation of Joch as messages of LlamaIndex."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.joch.messages import from_joch

from joch_core import Joch


def chat_history(conversation: str, *, joch: Joch | None = None) -> list[ChatMessage]:
    """The messages of a conversation, across all its switches, the operator's prompt first; none if there is no such one.

    Without `joch` the default store is read.
    """
    if joch is None:
        with Joch() as own:
            return chat_history(conversation, joch=own)
    return from_joch(joch.conversation(conversation).messages())
