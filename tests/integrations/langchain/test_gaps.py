"""Histories that LangChain's own packages cannot carry from one vendor to another, sent to every wire format.

The messages are written as those packages leave them in a checkpoint. The simulator refuses what the real API refuses, so
that an answer says that the body was valid; what must stand in it, and what must not, is said beside each history.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_joch import JochChatModel

from joch_core import NoEligibleCandidate
from joch_core.testing import Simulator

CHAT = """
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: chatty}
spec: {provider: openai, model: gpt-5-mini, endpoint: {api: openai-chat}}
"""
TARGETS = {
    "openai-chat": "openai:chatty",
    "openai-responses": "openai:gpt-5-mini",
    "anthropic-messages": "anthropic:claude-sonnet-4-5",
    "gemini-generate": "google:gemini-2.5-pro",
}
EVERY_WIRE = pytest.mark.parametrize("api", TARGETS)
PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
        "0000000049454e44ae426082"
    )
).decode()
SIGNATURE = "c2lnbmF0dXJlLW9mLXNvbWVib2R5LWVsc2U="
Ask = Callable[..., tuple[AIMessage, dict[str, Any]]]


@tool
def look(at: str) -> str:
    """Look at something."""
    return at


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Callable[..., Any]]]:
    """One provider double and one model for each wire format; they keep nothing from one test to the next."""
    folder = tmp_path_factory.mktemp("gaps")
    (folder / "models.yaml").write_text(CHAT)
    made: dict[str, Any] = {}
    with Simulator() as double, pytest.MonkeyPatch.context() as patch:
        for name, value in double.env().items():
            patch.setenv(name, value)
        patch.setenv("JOCH_HOME", str(folder))
        patch.setenv("JOCH_RESOURCES", str(folder / "models.yaml"))

        def model(api: str) -> Any:
            if api not in made:
                made[api] = JochChatModel(model=TARGETS[api]).bind_tools([look])
            return made[api]

        yield double, model


@pytest.fixture
def ask(models: tuple[Simulator, Callable[..., Any]]) -> Ask:
    """Send a history to one wire format: the answer, and the body that was sent."""
    double, model = models

    def asked(api: str, messages: list[BaseMessage], **options: Any) -> tuple[AIMessage, dict[str, Any]]:
        answer = model(api).invoke(messages, **options)
        return answer, double.calls()[-1].body

    return asked


def codes(answer: AIMessage) -> set[str]:
    return {loss["code"] for loss in answer.response_metadata["joch"]["losses"]}


def said(content: Any, provider: str, *calls: tuple[str, str], **fields: Any) -> AIMessage:
    """An answer as a partner package leaves it."""
    made = [{"name": "look", "args": {"at": at}, "id": identity} for identity, at in calls]
    return AIMessage(content, tool_calls=made, response_metadata={"model_provider": provider, **fields})


def thinking(*more: Any) -> list[Any]:
    return [{"type": "thinking", "thinking": "a secret thought", "signature": SIGNATURE}, *more]


REASONED = {
    "anthropic": said(thinking({"type": "text", "text": "It is blue."}), "anthropic"),
    "anthropic-redacted": said(
        [{"type": "redacted_thinking", "data": SIGNATURE}, {"type": "text", "text": "It is blue."}], "anthropic"
    ),
    "google": said(
        [{"type": "thinking", "thinking": "a secret thought"}, {"type": "text", "text": "It is blue."}], "google_genai"
    ),
    "openai-responses": said(
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "a secret thought"}],
                "encrypted_content": SIGNATURE,
            },
            {"type": "text", "text": "It is blue."},
        ],
        "openai",
    ),
    "v1": said(
        [
            {"type": "reasoning", "reasoning": "a secret thought", "extras": {"signature": SIGNATURE}},
            {"type": "text", "text": "It is blue."},
        ],
        "anthropic",
        output_version="v1",
    ),
    "a-server-that-only-looks-like-anthropic": said(
        [{"type": "thinking", "thinking": "a secret thought"}, {"type": "text", "text": "It is blue."}], "anthropic"
    ),
    "deepseek": AIMessage(
        "It is blue.",
        additional_kwargs={"reasoning_content": "a secret thought"},
        response_metadata={"model_provider": "deepseek"},
    ),
}


@pytest.mark.parametrize("issuer", REASONED)
@EVERY_WIRE
def test_reasoning_of_another_is_neither_sent_nor_told_as_text(api: str, issuer: str, ask: Ask) -> None:
    _, body = ask(api, [HumanMessage("which colour?"), REASONED[issuer], HumanMessage("sure?")])

    sent = json.dumps(body)
    assert "It is blue." in sent
    assert SIGNATURE not in sent
    assert "secret thought" not in sent
    assert "rs_1" not in sent


def unsaid(kind: str) -> AIMessage:
    return {
        "empty": said("", "openai"),
        "no-blocks": said([], "anthropic"),
        "blank": said([{"type": "text", "text": ""}], "anthropic"),
        "reasoning-only": said(thinking(), "anthropic"),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "no-blocks", "blank", "reasoning-only"])
@EVERY_WIRE
def test_a_turn_that_says_nothing_stops_nobody(api: str, kind: str, ask: Ask) -> None:
    answer, body = ask(api, [HumanMessage("one"), unsaid(kind), HumanMessage("two")])

    assert "two" in str(answer.text)
    assert '"one"' in json.dumps(body)


PICTURES = {
    "standard": {"type": "image", "base64": PNG, "mime_type": "image/png"},
    "v0": {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
    "openai": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    "gemini": {"type": "media", "data": PNG, "mime_type": "image/png"},
}


@pytest.mark.parametrize("form", PICTURES)
@EVERY_WIRE
def test_a_picture_in_any_vendors_form_is_seen_by_all(api: str, form: str, ask: Ask) -> None:
    _, body = ask(api, [HumanMessage([{"type": "text", "text": "what is this?"}, PICTURES[form]])])

    assert PNG in json.dumps(body)


@pytest.mark.parametrize("form", PICTURES)
@EVERY_WIRE
def test_a_picture_that_a_tool_gave_is_seen_by_all(api: str, form: str, ask: Ask) -> None:
    result = ToolMessage([{"type": "text", "text": "here"}, PICTURES[form]], tool_call_id="call_1")

    _, body = ask(api, [HumanMessage("show me"), said("", "openai", ("call_1", "x")), result])

    assert PNG in json.dumps(body)


@pytest.mark.parametrize("number", [1, 2])
@EVERY_WIRE
def test_the_operators_words_in_the_middle_are_not_lost(api: str, number: int, ask: Ask) -> None:
    first = [SystemMessage("be brief")] if number == 2 else []

    _, body = ask(
        api, [*first, HumanMessage("one"), said("yes", "openai"), SystemMessage("now be kind"), HumanMessage("two")]
    )

    sent = json.dumps(body)
    assert "now be kind" in sent
    assert number == 1 or "be brief" in sent


@EVERY_WIRE
def test_foreign_call_ids_become_ids_that_everyone_takes(api: str, ask: Ask) -> None:
    foreign = ["functions.look:0", "functions.look.0", "x" * 70, "call_x__thought__" + SIGNATURE * 9, "ünï"]
    history = [
        HumanMessage("look"),
        said("", "openai", *((identity, str(place)) for place, identity in enumerate(foreign))),
        *(ToolMessage(f"result {place}", tool_call_id=identity) for place, identity in enumerate(foreign)),
    ]

    _, first = ask(api, history)
    _, again = ask(api, [message.model_copy(deep=True) for message in history])

    assert {key: first[key] for key in first if key != "prompt_cache_key"} == {
        key: again[key] for key in again if key != "prompt_cache_key"
    }
    assert SIGNATURE * 9 not in json.dumps(first)
    assert all(f"result {place}" in json.dumps(first) for place in range(5))


@pytest.mark.parametrize("answered", [0, 1])
@EVERY_WIRE
def test_a_call_without_a_result_does_not_brick_the_thread(api: str, answered: int, ask: Ask) -> None:
    results = [ToolMessage("seen a", tool_call_id="call_a")][:answered]

    answer, body = ask(
        api,
        [HumanMessage("look"), said("", "openai", ("call_a", "a"), ("call_b", "b")), *results, HumanMessage("and now?")],
    )

    assert "and now?" in str(answer.text)
    assert answered == 0 or "seen a" in json.dumps(body)
    assert "outcome.unknown" in codes(answer)


@EVERY_WIRE
def test_a_result_that_belongs_to_no_call_does_not_brick_the_thread(api: str, ask: Ask) -> None:
    answer, _ = ask(api, [HumanMessage("one"), ToolMessage("lost", tool_call_id="call_gone"), HumanMessage("two")])

    assert "two" in str(answer.text)


@EVERY_WIRE
def test_what_a_search_of_the_vendor_found_stays_as_text(api: str, ask: Ask) -> None:
    searched = said(
        [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "colour of the sky"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": [
                    {
                        "type": "web_search_result",
                        "url": "https://sky.example",
                        "title": "Sky",
                        "encrypted_content": SIGNATURE,
                    }
                ],
            },
            {
                "type": "text",
                "text": "The sky is blue.",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://sky.example",
                        "title": "Sky",
                        "cited_text": "blue",
                        "encrypted_index": SIGNATURE,
                    }
                ],
            },
        ],
        "anthropic",
    )

    answer, body = ask(api, [HumanMessage("which colour?"), searched, HumanMessage("sure?")])

    assert "The sky is blue." in json.dumps(body)
    assert SIGNATURE not in json.dumps(body)
    assert "server_tool.flattened" in codes(answer)


def test_a_file_that_only_its_vendor_has_is_an_error_that_names_it(ask: Ask) -> None:
    message = HumanMessage([{"type": "text", "text": "read this"}, {"type": "file", "file_id": "file-abc"}])

    with pytest.raises(NoEligibleCandidate, match="file") as caught:
        ask("gemini-generate", [message])

    assert isinstance(caught.value, ModelError)


@EVERY_WIRE
def test_a_model_that_thinks_goes_on_with_the_tool_loop_of_another(api: str, ask: Ask) -> None:
    loop = [
        HumanMessage("look"),
        said("", "openai", ("call_1", "a")),
        ToolMessage("seen a", tool_call_id="call_1"),
        said("", "openai", ("call_2", "b")),
        ToolMessage("seen b", tool_call_id="call_2"),
    ]

    answer, body = ask(api, loop, reasoning="high")

    assert "seen b" in json.dumps(body)
    assert str(answer.text)


TURNS = {
    "the assistant speaks first": [AIMessage("Welcome."), HumanMessage("one")],
    "two users in a row": [HumanMessage("zero"), HumanMessage("one")],
    "two answers in a row": [HumanMessage("zero"), AIMessage("a"), AIMessage("b"), HumanMessage("one")],
    "the assistant speaks last": [HumanMessage("one"), AIMessage("I was about to")],
}


@pytest.mark.parametrize("turns", TURNS)
@EVERY_WIRE
def test_turns_in_any_order_are_answered(api: str, turns: str, ask: Ask) -> None:
    answer, body = ask(api, TURNS[turns])

    assert str(answer.text)
    assert "one" in json.dumps(body)


def test_what_a_failover_loses_stands_in_the_answer_and_in_the_log(simulator: Simulator, joch: Any) -> None:
    model = JochChatModel(model="anthropic:claude-sonnet-4-5", fallbacks=["openai:gpt-5-mini"], reasoning="medium")
    simulator.script([{"reasoning": "hm", "text": "It is blue."}], provider="anthropic")
    config: Any = {"configurable": {"thread_id": "T"}}
    first = model.invoke("which colour?", config)
    simulator.fail("anthropic", status=503)

    answer = model.invoke([HumanMessage("which colour?"), first, HumanMessage("sure?")], config)

    (switched,) = [event for event in joch.conversation("T").events() if event.type == "ProviderSwitched"]
    assert "reasoning.dropped" in codes(answer)
    assert "reasoning.dropped" in {delta["code"] for delta in switched.payload["capabilityDeltas"]}
