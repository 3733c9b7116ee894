from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_joch.results import decode, encode, is_error, repeated
from langgraph.types import Command, Send

MESSAGE = ToolMessage("18 degrees", tool_call_id="c1", name="weather", artifact={"raw": [1, 2]})


@pytest.mark.parametrize(
    "value",
    [
        "text",
        3,
        None,
        {"a": [1, {"b": None}]},
        (1, "x"),
        MESSAGE,
        ToolMessage([{"type": "text", "text": "x"}], tool_call_id="c1"),
        Command(goto="next", update={"messages": [MESSAGE], "count": 2}),
        Command(graph=Command.PARENT, goto=[Send("worker", {"messages": [AIMessage("hi")]})]),
        [MESSAGE, Command(update={"x": 1})],
        date(2026, 5, 10),
    ],
)
def test_a_result_reads_back_from_json_as_it_was(value: Any) -> None:
    stored = json.loads(json.dumps(encode(value)))

    assert decode(stored) == value


def test_a_repeated_result_answers_the_new_call_and_says_so() -> None:
    again = repeated(MESSAGE, "c2")

    assert again.tool_call_id == "c2"
    assert again.content.startswith("[already done")
    assert again.content.endswith("18 degrees")
    assert again.artifact == MESSAGE.artifact
    assert MESSAGE.tool_call_id == "c1"


def test_a_repeated_command_updates_the_state_again_under_the_new_call() -> None:
    command = Command(update={"messages": [MESSAGE], "count": 2}, goto="next")

    again = repeated(command, "c2")

    assert (again.update["count"], again.goto) == (2, "next")
    assert [message.tool_call_id for message in again.update["messages"]] == ["c2"]


def test_an_error_message_is_known_as_one() -> None:
    assert is_error(ToolMessage("boom", tool_call_id="c1", status="error"))
    assert not is_error(MESSAGE)
