from __future__ import annotations

import gc
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_joch import remembered
from langchain_joch.messages import to_joch


def history() -> list[BaseMessage]:
    calls = [{"name": "look", "args": {"at": "x"}, "id": "call_1"}]
    return [
        SystemMessage("be brief"),
        HumanMessage("look"),
        AIMessage("", tool_calls=calls),
        ToolMessage("found", tool_call_id="call_1"),
        AIMessage("there it is"),
    ]


def test_what_was_translated_once_is_the_same_the_next_time() -> None:
    messages = history()

    first, again = to_joch(messages), to_joch([*messages, HumanMessage("and now?")])

    assert all(one is two for one, two in zip(first, again, strict=False))
    assert again[-1].text == "and now?"


def edit_text(messages: list[Any]) -> None:
    messages[-1].content = "somewhere else"


def edit_argument(messages: list[Any]) -> None:
    messages[2].tool_calls[0]["args"]["at"] = "y"


def edit_call(messages: list[Any]) -> None:
    messages[2].tool_calls = [{"name": "look", "args": {}, "id": "call_9"}]
    messages[3].tool_call_id = "call_9"


def edit_status(messages: list[Any]) -> None:
    messages[3].status = "error"


@pytest.mark.parametrize("edit", [edit_text, edit_argument, edit_call, edit_status])
def test_a_message_that_is_changed_in_place_is_translated_anew(edit: Any) -> None:
    messages = history()
    to_joch(messages)

    edit(messages)

    fresh = [message.model_copy(deep=True) for message in messages]
    assert to_joch(messages) == to_joch(fresh)


def test_a_call_id_that_is_used_again_gets_an_id_of_its_own_in_either_order() -> None:
    messages = history()
    alone = to_joch(messages[2:4])
    twice = [*history()[2:4], *messages[2:4]]

    both = to_joch(twice)

    assert both == to_joch([message.model_copy(deep=True) for message in twice])
    assert both[0].tool_calls[0].id == alone[0].tool_calls[0].id
    assert both[2].tool_calls[0].id == both[3].tool_results[0].call_id != both[0].tool_calls[0].id


def test_nothing_is_kept_of_messages_that_are_gone() -> None:
    messages = history()
    to_joch(messages)
    kept = len(remembered._known)

    messages.clear()
    gc.collect()

    assert len(remembered._known) <= kept - 5
