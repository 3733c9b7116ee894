"""The OpenAI wires against recorded traffic: what was really answered, and histories really accepted."""

from __future__ import annotations

import json

import pytest

from joch_core.capabilities import Dialect, Target
from joch_core.errors import ProviderError
from joch_core.messages import is_call_id
from joch_core.wire import wire

pytestmark = pytest.mark.corpus

APIS = ("openai-chat", "openai-responses", "generic-openai", "generic-openai-responses")

#: Every fact that is not as recorded: (file, interaction, fact) → why.
SNOWFLAKE = "an empty finish reason; Reply.finish is never null, so it is `other` (`stop` where the dialect allows it)"
CACHED = "a top-level `cached_tokens` is a count of cache reads, too"
KNOWN: dict[tuple[str, int, str], str] = {
    ("generic-openai/openinference__test_chat_with_tool_call-e4ed29.yaml", 0, "cache_read"): CACHED,
    ("generic-openai/pydantic-ai__test_max_completion_tokens-d82121.yaml", 0, "cache_read"): CACHED,
    ("generic-openai/pydantic-ai__test_request_structured_response-c0a400.yaml", 0, "cache_read"): CACHED,
    ("generic-openai/pydantic-ai__test_snowflake-test_snowflake_thinking-ab4e92.yaml", 0, "finish"): SNOWFLAKE,
    ("generic-openai/pydantic-ai__test_snowflake-test_snowflake_thinking-ab4e92.yaml", 1, "finish"): SNOWFLAKE,
    ("generic-openai/pydantic-ai__test_snowflake_model_simple-1d7cb2.yaml", 0, "finish"): SNOWFLAKE,
    ("generic-openai/pydantic-ai__test_snowflake_native_output-c00f37.yaml", 0, "finish"): SNOWFLAKE,
    (
        ("generic-openai/ruby_llm__chat_error_handling_with_xai_grok-4-1-fast-non-reasoning_raises_appropriate_auth_error-bf3ab7"
        ".yaml"), 0, "error",
    ): "status 400, but its text says that the key is wrong",
    (
        ("generic-openai/ruby_llm__chat_real_error_scenarios_perplexity_sonar_handles_context_length_exceeded_errors-dfa2c0"
        ".yaml"), 0, "error",
    ): "status 400, but its type says `too_many_prompt_tokens`",
}  # fmt: skip


def target(api, model):
    name = "openai-responses" if api.endswith("responses") else "openai-chat"
    dialect = Dialect(reasoning_content=True, max_tokens_field="max_tokens")
    return Target(f"any:{model}", "any", name, model, "here", dialect=dialect, capabilities=frozenset({"reasoning"}))


def answer_of(exchange, spoken, place):
    """The reply as the wire reads it; its deltas must say the same."""
    if not exchange.stream:
        return spoken.parse(json.loads(exchange.response), place, "seed")
    reader = spoken.reader(place, "seed")
    deltas = [delta for name, data in exchange.events() for delta in reader.feed(name, data)]
    reply = reader.reply()
    said = "".join(delta.text for delta in deltas if delta.type == "text")
    assert said == reply.text
    assert [delta.tool_call for delta in deltas if delta.type == "tool_call"] == list(reply.tool_calls)
    assert "".join(delta.text for delta in deltas if delta.type == "reasoning") == reply.reasoning
    assert reader.partial().text == reply.text
    return reply


def facts_of(exchange):
    """The neutral facts as the wire reads them, under the names of the recording."""
    place = target(exchange.api, exchange.expected["requested_model"] or "asked")
    spoken = wire(place.api)
    if exchange.expected["error"] is not None:
        if exchange.status < 300:
            with pytest.raises(ProviderError) as caught:
                answer_of(exchange, spoken, place)
            return {"error": caught.value.kind, "message": caught.value.message}
        try:
            body = json.loads(exchange.response)
        except ValueError:
            body = exchange.response
        kind, _code, message = spoken.read_error(exchange.status, body)
        return {"error": kind, "message": message}
    reply = answer_of(exchange, spoken, place)
    assert all(is_call_id(call.id) for call in reply.tool_calls)
    assert len({call.id for call in reply.tool_calls}) == len(reply.tool_calls)
    usage = reply.usage
    return {
        "text": reply.text,
        "tool_calls": [(call.native.data["id"] or None, call.name, call.args) for call in reply.tool_calls],
        "finish": reply.finish,
        "model": reply.model,
        "refusal": reply.refusal,
        "server_tools": list(reply.server_tools),
        "reasoning": reply.reasoning,
        "reasoning_present": any(part.type == "reasoning" for part in reply.parts),
        "input_total": usage.input_tokens,
        "output_total": usage.output_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def facts_expected(exchange):
    row = exchange.expected
    if row["error"] is not None:
        return {"error": row["error"]["neutral"], "message": row["error"]["message"]}
    usage = row["usage"] or {}
    return {
        "text": row["text"],
        "tool_calls": [
            (call["id"] or None, call["name"], {"input": call["args"]} if call.get("custom") else call["args"])
            for call in row["tool_calls"]
        ],
        "finish": row["finish_neutral"],
        "model": row["model"] or row["requested_model"],
        "refusal": row["refusal"],
        "server_tools": row["server_tools"],
        "reasoning": row["reasoning"]["text"],
        "reasoning_present": row["reasoning"]["present"],
        "input_total": usage.get("input_total"),
        "output_total": usage.get("output_total"),
        "cache_read": usage.get("cache_read"),
        "cache_write": usage.get("cache_write"),
        "reasoning_tokens": usage.get("reasoning"),
    }


def test_every_recorded_answer_is_read_as_what_it_says(corpus):
    total, wrong = 0, {}
    for exchange in corpus.exchanges(*APIS):
        found = facts_of(exchange)
        for fact, value in facts_expected(exchange).items():
            total += 1
            if found[fact] != value:
                wrong[exchange.file, exchange.interaction, fact] = (found[fact], value)

    assert {key: pair for key, pair in wrong.items() if key not in KNOWN} == {}
    assert wrong.keys() >= KNOWN.keys(), "a difference is gone: take it off the list"
    assert len(wrong) <= total * 0.005


# ---------------------------------------------------------------------------------------------------- histories
#: What says nothing, because it is the API's own default, or only what an answer carried along.
SAYS_NOTHING = {
    "stream": False, "annotations": [], "n": 1, "description": "", "tools": [], "metadata": {}, "stop": [], "functions": [],
    "response_format": {"type": "text"}, "logprobs": [], "tool_calls": [], "options": {},
}  # fmt: skip


def normal(value, key=""):
    """A body without the differences that mean nothing. Each rule has its reason."""
    if isinstance(value, list):
        items = [normal(item, key) for item in value]
        if key in ("content", "output") and len(items) == 1 and isinstance(items[0], dict):
            only = items[0]
            if only.get("type") in ("text", "input_text") and only.keys() == {"type", "text"}:
                return only["text"]  # one plain text block is a string
        return items
    if not isinstance(value, dict):
        return value
    return {
        name: normal(item, name)
        for name, item in value.items()
        if item is not None and not (name in SAYS_NOTHING and item == SAYS_NOTHING[name])
    }


def normal_chat(body):
    out = normal(body)
    out.setdefault("model", "named-in-the-path")  # Azure
    if "max_completion_tokens" in out:  # the newer name of the same limit; the dialect says which one goes out
        out["max_tokens"] = out.pop("max_completion_tokens")
    if out.get("tool_choice") == "any":  # Mistral's word for `required`
        out["tool_choice"] = "required"
    for tool in out.get("tools", []):
        tool.setdefault("type", "function")
    out.pop("stream_options", None)  # always asked for: the usage of a stream is needed
    for message in out["messages"]:
        for name in ("content", "refusal"):
            if message["role"] == "assistant" and message.get(name) in ("", []):  # as null: nothing is said
                del message[name]
        for block in message["content"] if isinstance(message.get("content"), list) else []:
            if isinstance(block.get("image_url"), str):
                block["image_url"] = {"url": block["image_url"]}  # Mistral's short form
        for call in message.get("tool_calls", []):
            call.pop("index", None)  # its place in the list says the same
            call.setdefault("type", "function")  # the only kind a call without a type can be
            if not call["function"].get("arguments"):
                call["function"]["arguments"] = "{}"  # no arguments are an empty object
    return out


def normal_responses(body):
    out = normal(body)
    out.setdefault("model", "named-in-the-path")  # Azure
    if isinstance(out.get("input"), str):  # a string is one user message
        out["input"] = [{"role": "user", "content": out["input"]}]
    # an assistant's empty string says nothing
    out["input"] = [item for item in out["input"] if (item.get("role"), item.get("content")) != ("assistant", "")]
    for item in out["input"]:
        if "role" in item and item.get("type") == "message":
            del item["type"]  # the default of an item with a role
    if not any(name in out for name in ("previous_response_id", "conversation", "background", "store")):
        out["store"] = False  # stateless by default
    if out.get("store") is False:
        out["include"] = sorted({*out.get("include", []), "reasoning.encrypted_content"})
        # without a store, a thought that is only an id is refused
        out["input"] = [
            item
            for item in out["input"]
            if item.get("type") != "reasoning" or item.get("encrypted_content") or item.get("content")
        ]
    return out


def test_an_accepted_history_is_spelled_back_as_it_was(corpus):
    read = 0
    for history in corpus.histories(*APIS):
        place = target(history.api, history.body.get("model", "named-in-the-path"))
        spoken = wire(place.api)
        request = spoken.read_request(history.body, "here")
        body = spoken.render(request, place, stream=bool(history.body.get("stream")))

        if history.accepted:
            same = normal_responses if place.api == "openai-responses" else normal_chat
            assert same(body) == same(history.body), history.file
            read += 1
    assert read > 180
