from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.core.llms import LLM
from llama_index.llms.joch import JochLLM

from joch_core import InvalidArgument, Joch, NoEligibleCandidate, ProviderError, RouteExhausted, StreamInterrupted

HELLO = [ChatMessage("hello there, how are you doing today?")]
SAID = "You said: hello there, how are you doing today?"


def test_an_llm_chats_on_every_wire(llm):
    response = llm.chat(HELLO)

    assert response.message.content == SAID
    assert response.message.role.value == "assistant"


async def test_an_llm_chats_without_holding_the_loop(llm):
    assert (await llm.achat(HELLO)).message.content == SAID


def test_a_stream_gives_new_text_and_all_text_so_far(llm):
    chunks = list(llm.stream_chat(HELLO))

    assert len(chunks) > 2
    assert "".join(chunk.delta for chunk in chunks) == SAID
    so_far = ""
    for chunk in chunks:
        so_far += chunk.delta
        assert (chunk.message.content or "") == so_far


async def test_an_asynchronous_stream_gives_the_same(llm):
    chunks = [chunk async for chunk in await llm.astream_chat(HELLO)]

    assert "".join(chunk.delta for chunk in chunks) == SAID
    assert chunks[-1].message.content == SAID


async def test_a_prompt_is_completed_in_four_ways(make):
    llm = make()
    assert llm.complete("hello").text == "You said: hello"
    assert (await llm.acomplete("hello")).text == "You said: hello"
    assert "".join(chunk.delta for chunk in llm.stream_complete("hello")) == "You said: hello"
    assert [chunk.text async for chunk in await llm.astream_complete("hello")][-1] == "You said: hello"


def test_a_response_says_who_answered_why_and_for_how_much(make, simulator):
    simulator.fail("openai", status=503)

    response = make().chat(HELLO)
    facts = response.raw["joch"]

    assert facts["route"] == "openai:gpt-5-mini, anthropic:claude-sonnet"
    assert facts["backend"] == "anthropic:claude-sonnet"
    assert facts["switched_from"] == "openai:gpt-5-mini"
    assert facts["reason"] == "outage"
    assert facts["attempts"] == 2
    assert float(facts["cost_usd"]) > 0
    assert facts["execution"].startswith("exec-")
    assert facts["conversation"] is None
    assert set(facts) == {
        "route", "backend", "execution", "conversation", "attempts", "switched_from", "reason", "cost_usd", "checkpoint",
        "losses",
    }  # fmt: skip
    own = response.message.additional_kwargs["joch"]
    assert {name: own[name] for name in facts} == facts


def test_the_last_chunk_of_a_stream_has_the_same_facts(make):
    llm = make()

    whole, streamed = llm.chat(HELLO), list(llm.stream_chat(HELLO))[-1]

    assert streamed.raw.keys() == whole.raw.keys()
    assert streamed.raw["joch"].keys() == whole.raw["joch"].keys()
    assert streamed.raw["usage"] == whole.raw["usage"]
    assert streamed.message.additional_kwargs["joch"]["backend"] == "openai:gpt-5-mini"


def test_tokens_stand_where_lookers_of_llamaindex_look(llm):
    response = llm.chat(HELLO)

    tokens = {name: response.raw["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert tokens["prompt_tokens"] > 0
    assert tokens["completion_tokens"] > 0
    assert tokens["total_tokens"] == tokens["prompt_tokens"] + tokens["completion_tokens"]
    assert response.additional_kwargs == tokens


def test_thinking_is_a_block_of_its_own_and_streams_as_such(make, simulator):
    simulator.script([{"reasoning": "The user is polite.", "text": "Hello!"}], repeat_last=True)
    llm = make("anthropic:claude-sonnet", "openai:gpt-5-mini", reasoning="high")

    blocks = llm.chat(HELLO).message.blocks
    chunks = list(llm.stream_chat(HELLO))

    assert [type(block) for block in blocks] == [ThinkingBlock, TextBlock]
    assert blocks[0].content == "The user is polite."
    assert "".join(chunk.additional_kwargs.get("thinking_delta", "") for chunk in chunks) == "The user is polite."
    assert chunks[-1].message.blocks == blocks


def test_a_refusal_reads_as_its_text_and_is_named(make, simulator):
    simulator.script([{"refusal": "I will not do that."}])

    message = make().chat(HELLO).message

    assert message.content == "I will not do that."
    assert message.additional_kwargs["refusal"] == "I will not do that."


def test_options_reach_every_provider_in_its_own_words(make, simulator):
    make("openai:gpt-4o-mini", max_tokens=100, temperature=0.5).chat(HELLO, stop=["doing"])
    simulator.fail("openai", status=503)
    response = make("openai:gpt-4o-mini", max_tokens=100).chat(HELLO, temperature=0.25)

    first = simulator.calls("openai")[0].body
    last = simulator.calls("anthropic")[-1].body
    assert (first["temperature"], first["stop"]) == (0.5, ["doing"])
    assert 100 in (first.get("max_completion_tokens"), first.get("max_tokens"))
    assert last["max_tokens"] == 100
    assert response.message.content == SAID


def test_an_option_of_one_provider_goes_to_the_one_that_is_named_first(make, simulator):
    make(service_tier="flex").chat(HELLO)
    make(extra={"openai": {"service_tier": "priority"}}).chat(HELLO)

    assert [call.body["service_tier"] for call in simulator.calls("openai")] == ["flex", "priority"]


def test_a_misspelt_option_of_a_route_is_told_when_the_llm_is_made(simulator, tmp_path):
    with pytest.raises(InvalidArgument, match="did you mean 'temperature'"):
        JochLLM(route="research", temprature=0)


@pytest.mark.parametrize("name", ["api_key", "openai_api_key", "default_headers"])
def test_a_key_is_not_taken(simulator, name):
    with pytest.raises(InvalidArgument, match="own variable"):
        JochLLM(route="openai:gpt-5-mini", **{name: "sk-123"})


def test_a_route_is_given_in_one_way(simulator):
    for fields in (
        {},
        {"route": "a", "model": "openai:gpt-5-mini"},
        {"route": "a", "fallbacks": ["openai:gpt-5-mini"]},
        {"route": 3},
    ):
        with pytest.raises(InvalidArgument):
            JochLLM(**fields)


def test_a_route_comes_from_a_file_by_name_or_as_a_list(simulator, tmp_path, joch):
    alone = tmp_path / "route.yaml"
    alone.write_text(ROUTE.replace("openai:mine", "openai:gpt-5-mini"))
    more = tmp_path / "more.yaml"
    more.write_text(ROUTE + "---\n" + MODEL)

    for fields, backend in (
        ({"route": str(alone)}, "openai:gpt-5-mini"),
        ({"route": alone}, "openai:gpt-5-mini"),
        ({"route": more}, "openai:mine"),
        ({"route": "research", "resources": more}, "openai:mine"),
        ({"route": ["openai:gpt-5-mini", "anthropic:claude-sonnet"]}, "openai:gpt-5-mini"),
        ({"route": joch.route(str(alone))}, "openai:gpt-5-mini"),
    ):
        assert JochLLM(**fields).chat(HELLO).raw["joch"]["backend"] == backend


ROUTE = """
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata: {name: research}
spec:
  strategy: {primary: "openai:mine"}
"""
MODEL = """
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: mine}
spec:
  provider: openai
  model: gpt-4o-mini
"""


def test_metadata_is_what_every_backend_can(make):
    metadata = make("openai:gpt-4o-mini").metadata

    assert metadata.context_window == 111_616  # what gpt-4o-mini accepts as input; Claude accepts more
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.model_name == "openai:gpt-4o-mini, anthropic:claude-sonnet"
    assert make("openai:gpt-4o-mini", max_tokens=77).metadata.num_output == 77
    assert 0 < metadata.num_output <= metadata.context_window // 2


def test_metadata_asks_no_provider(make, simulator):
    for _ in range(3):
        assert make().metadata.context_window > 0
    assert simulator.calls() == []


def test_it_is_an_llm_of_llamaindex_with_a_name_of_its_own(make):
    assert isinstance(make(), LLM)
    assert make().class_name() == "joch_llm"


def test_a_failure_of_all_is_one_error_that_says_who_was_asked(make, simulator):
    simulator.fail(status=503)

    with pytest.raises(RouteExhausted) as told:
        make().chat(HELLO)

    assert [attempt.backend for attempt in told.value.attempts] == ["openai:gpt-5-mini", "anthropic:claude-sonnet"]
    assert told.value.__cause__ is None


def test_a_plain_400_is_not_tried_elsewhere(make, simulator):
    simulator.fail("openai", status=400)

    with pytest.raises((ProviderError, RouteExhausted)):
        make().chat(HELLO)

    assert simulator.calls("anthropic") == []


async def test_no_request_is_repeated_behind_the_back_of_the_route(make, simulator):
    simulator.fail("openai", status=503)

    await make().achat(HELLO)
    [chunk async for chunk in await make().astream_chat(HELLO)]

    assert len(simulator.calls("openai")) <= 2
    assert len(simulator.calls("anthropic")) == 2


async def test_a_stream_that_fails_before_its_first_word_goes_over(make, simulator):
    simulator.fail("openai", stream="disconnect", after=0)

    assert "".join(chunk.delta for chunk in make().stream_chat(HELLO)) == SAID
    last = [chunk async for chunk in await make().astream_chat(HELLO)][-1]
    assert last.raw["joch"]["backend"] == "anthropic:claude-sonnet"


def test_a_stream_that_breaks_in_the_middle_is_an_error_with_what_was_said(make, simulator):
    simulator.fail("openai", stream="disconnect", after=12)
    said = []

    with pytest.raises(StreamInterrupted) as told:
        for chunk in make("openai:gpt-4o-mini").stream_chat([ChatMessage("word " * 40)]):
            said.append(chunk.delta)

    assert "".join(said)
    assert told.value.partial.text == "".join(said)


def test_a_stream_may_begin_anew_and_says_so(make, simulator):
    simulator.fail("openai", stream="disconnect", after=12)
    llm = make("openai:gpt-4o-mini", on_interrupt="restart")

    chunks = list(llm.stream_chat([ChatMessage("word " * 40)]))

    restart = next(place for place, chunk in enumerate(chunks) if chunk.additional_kwargs.get("restart"))
    assert restart > 0
    assert chunks[restart].message.blocks == []
    assert "".join(chunk.delta for chunk in chunks[restart:]) == chunks[-1].message.content
    assert chunks[-1].message.content == "You said: " + ("word " * 40).strip()


def test_a_stream_that_is_left_early_ends_its_request(make, simulator, joch):
    stream = make(conversation="c").stream_chat(HELLO)

    next(stream)
    stream.close()

    assert [message.role for message in joch.conversation("c").messages()] == ["user"]


def test_the_messages_of_the_caller_stay_as_they_are(make):
    llm = make()
    messages = [ChatMessage(role="system", content="be brief"), *HELLO, ChatMessage("and again")]
    before = [message.model_dump() for message in messages]

    llm.chat(messages)
    list(llm.stream_chat(messages))

    assert [message.model_dump() for message in messages] == before


def test_nobody_can_answer_where_nobody_meets_the_requirements(simulator, tmp_path):
    file = tmp_path / "route.yaml"
    file.write_text(ROUTE.replace("openai:mine", "openai:gpt-5-mini") + "  constraints: {dataResidency: EU}\n")
    llm = JochLLM(route=file)

    with pytest.raises(NoEligibleCandidate):
        llm.chat(HELLO)


def test_two_llms_on_one_joch_share_its_store(joch, make):
    make(conversation="c").chat(HELLO)

    assert [message.role for message in joch.conversation("c").messages()] == ["user", "assistant"]
    assert isinstance(joch, Joch)
