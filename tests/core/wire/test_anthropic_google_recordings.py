"""The Anthropic and Google wires against recorded traffic: what was really answered, and histories really accepted."""

from __future__ import annotations

import json

import pytest

from joch_core.capabilities import Target
from joch_core.messages import is_call_id
from joch_core.messages.encoding import decode_base64
from joch_core.wire import wire

pytestmark = pytest.mark.corpus

APIS = ("anthropic-messages", "gemini-generate")

#: Every fact that is not as recorded: (file, interaction, fact) → why.
KNOWN: dict[tuple[str, int, str], str] = {}


def target(api, model):
    return Target(f"any:{model}", "any", api, model, "here")


def events(exchange):
    """The events of a stream; some Gemini recordings stream one long JSON list instead (no `alt=sse`)."""
    if exchange.response.lstrip().startswith("["):
        return [(None, json.dumps(chunk)) for chunk in json.loads(exchange.response)]
    return list(exchange.events())


def facts_of(exchange):
    """The neutral facts as the wire reads them, under the names of the recording."""
    spoken = wire(exchange.api)
    place = target(exchange.api, exchange.expected["requested_model"] or "asked")
    if exchange.expected["error"] is not None:
        try:
            body = json.loads(exchange.response)
        except ValueError:
            body = exchange.response
        kind, _code, message = spoken.read_error(exchange.status, body)
        return {"error": kind, "message": message}
    if exchange.stream:
        reader = spoken.reader(place, "seed")
        deltas = [delta for name, data in events(exchange) for delta in reader.feed(name, data)]
        reply = reader.reply()
        assert "".join(delta.text for delta in deltas if delta.type == "text") == "".join(
            part.text for part in reply.parts if part.type == "text"
        )
        assert [delta.tool_call for delta in deltas if delta.type == "tool_call"] == list(reply.tool_calls)
        assert reader.partial().text == reply.text
    else:
        reply = spoken.parse(json.loads(exchange.response), place, "seed")
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
        "tool_calls": [(call["id"], call["name"], call["args"]) for call in row["tool_calls"]],
        "finish": "other" if row["finish_neutral"] == "error" else row["finish_neutral"],
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


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_answer_is_read_as_what_it_says(corpus, api):
    total, wrong = 0, {}
    for exchange in corpus.exchanges(api):
        found = facts_of(exchange)
        for fact, value in facts_expected(exchange).items():
            total += 1
            if found[fact] != value:
                wrong[exchange.file, exchange.interaction, fact] = (found[fact], value)

    known = {key for key in KNOWN if key[0].startswith(api)}
    assert {key: pair for key, pair in wrong.items() if key not in KNOWN} == {}
    assert known <= wrong.keys(), "a difference is gone: take it off the list"
    assert len(wrong) <= total * 0.005


# ---------------------------------------------------------------------------------------------------- histories
NULLS_AND_DEFAULTS = {"is_error": False, "description": "", "stream": False, "tools": []}


def normal(value, key=""):
    """A body without the differences that mean nothing. Each rule has its reason."""
    if isinstance(value, list):
        # A blank text says nothing, and newer models refuse it.
        items = [normal(item, key) for item in value if not (isinstance(item, dict) and item.get("text", "x").strip() == "")]
        if key in ("content", "system") and len(items) == 1 and isinstance(items[0], dict):
            only = items[0]
            if only.get("type") == "text" and only.keys() == {"type", "text"}:
                return only["text"]  # one plain text block is a string
        return items
    if not isinstance(value, dict):
        return value
    if "output_format" in value:  # the beta name of output_config.format
        value = {**value, "output_config": {"format": value["output_format"]}}
        del value["output_format"]
    return {
        name: normal(item, name)
        for name, item in value.items()
        # null and the API's own default say nothing
        if item is not None and not (name in NULLS_AND_DEFAULTS and item == NULLS_AND_DEFAULTS[name])
    }


def test_an_accepted_anthropic_history_is_spelled_back_as_it_was(corpus):
    read = 0
    for history in corpus.histories("anthropic-messages"):
        spoken = wire(history.api)
        request = spoken.read_request(history.body, "here")
        body = spoken.render(request, target(history.api, history.body["model"]), stream=bool(history.body.get("stream")))

        if history.accepted:
            assert normal(body) == normal(history.body), history.file
            read += 1
    assert read > 60


# ------------------------------------------------------------------------------------------------------- Gemini
def camel(value):
    """`inline_data` is `inlineData`: the API takes both. Schemas, arguments and results are left alone."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, item in value.items():
        head, *rest = name.split("_")
        name = head + "".join(word.capitalize() for word in rest)
        out[name] = item if name in ("args", "response", "parametersJsonSchema", "parameters") else camel(item)
    return out


def parts_of(content):
    parts = content.get("parts") or []
    parts = [dict(part) for part in (parts if isinstance(parts, list) else [parts])]
    for part in parts:
        for blob in [part, *part.get("functionResponse", {}).get("parts", ())]:
            if "inlineData" in blob:  # both alphabets of base64 are the same bytes
                blob["inlineData"] = {**blob["inlineData"], "data": decode_base64(blob["inlineData"]["data"])}
    return [part for part in parts if part != {"text": ""}]  # an empty text says nothing


def normal_google(body):
    """A Gemini body without the differences that mean nothing. Each rule has its reason."""
    body = camel(body)
    body.pop("model", None)  # it is in the path
    turns = []
    for content in body["contents"]:
        role = "model" if content.get("role") == "model" else "user"  # no role, and `function`, are the user's
        parts = parts_of(content)
        # Responses stand in a content of their own, and neighbours of one kind are one content.
        for kind, of_kind in (
            ("results", [part for part in parts if "functionResponse" in part]),
            (role, [part for part in parts if "functionResponse" not in part]),
        ):
            if of_kind and turns and turns[-1][0] == kind:
                turns[-1][1].extend(of_kind)
            elif of_kind:
                turns.append((kind, of_kind))
    body["contents"] = turns
    system = parts_of(body.pop("systemInstruction", None) or {})
    body["system"] = system  # its role says nothing
    tools = body.pop("tools", None) or []
    flat = [pair for tool in (tools if isinstance(tools, list) else [tools]) for pair in tool.items()]
    body["tools"] = [json.dumps([name, normal(value)], sort_keys=True) for name, value in flat]
    body["tools"].sort()  # kinds of tools may stand in any order, in one object or in several
    return normal({name: value for name, value in body.items() if value != {}})


def test_an_accepted_gemini_history_is_spelled_back_as_it_was(corpus):
    read = 0
    for history in corpus.histories("gemini-generate"):
        spoken = wire(history.api)
        request = spoken.read_request(history.body, "here")
        body = spoken.render(request, target(history.api, history.index["model"]), stream=False)

        if history.accepted:
            assert normal_google(body) == normal_google(history.body), history.file
            read += 1
    assert read > 40


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_call_has_one_id_and_every_result_finds_its_call(corpus, api):
    for history in corpus.histories(api):
        request = wire(api).read_request(history.body, "here")
        calls = [call for message in request.messages for call in message.tool_calls]
        results = [result for message in request.messages for result in message.tool_results]

        assert all(is_call_id(call.id) for call in calls), history.file
        assert len({call.id for call in calls}) == len(calls) == history.index["n_tool_calls"], history.file
        assert len(results) == history.index["n_tool_results"], history.file
        orphans = {result.call_id for result in results} - {call.id for call in calls}
        assert len(orphans) == len(history.index["results_without_call"]), history.file


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_request_is_read_and_spelled(corpus, api):
    read = 0
    for exchange in corpus.exchanges(api):
        try:
            body = json.loads(exchange.request)
        except ValueError:
            continue
        if exchange.expected["error"] is not None or ("messages" not in body and "contents" not in body):
            continue
        request = wire(api).read_request(body, "here")
        spelled = wire(api).render(request, target(api, body.get("model", "any")), stream=bool(body.get("stream")))
        tidy = normal if api == "anthropic-messages" else normal_google
        assert tidy(spelled) == tidy(body), (exchange.file, exchange.interaction)
        read += 1
    assert read > 250
