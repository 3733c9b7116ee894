"""A conversation of Joch as LangChain messages."""

from __future__ import annotations

from langchain_core.messages import BaseMessage

from joch_core import Joch
from langchain_joch.messages import from_message


def chat_history(conversation: str, *, joch: Joch | None = None) -> list[BaseMessage]:
    """The messages of a conversation, across all its switches, the operator's prompt first; none if there is no such one.

    Without `joch` the default store is read.
    """
    if joch is None:
        with Joch() as own:
            return chat_history(conversation, joch=own)
    return [one for message in joch.conversation(conversation).messages() for one in from_message(message)]
