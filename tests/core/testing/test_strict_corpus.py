"""The strict rules against what real providers took and refused. A false refusal is a fault of a rule."""

import json
import re

import pytest

from joch_core.testing import check_request

pytestmark = pytest.mark.corpus

APIS = (
    "openai-chat",
    "openai-responses",
    "anthropic-messages",
    "gemini-generate",
    "generic-openai",
    "generic-openai-responses",
)
#: Refused for what was found behind an URL: no rule can know it.
FETCHED = "Cannot fetch content from the provided URL"


def rules_of(file):
    return file.partition("/")[0]


def test_every_history_that_a_provider_took_is_taken(corpus):
    taken = [history for history in corpus.histories(*APIS) if history.accepted]
    refused = {
        history.file: found
        for history in taken
        if (found := check_request(rules_of(history.file), history.body, model=history.index["model"], tokens="any"))
    }
    assert len(taken) > 250
    assert refused == {}


def test_every_history_that_a_provider_refused_is_refused_for_the_same_reason(corpus):
    missed = {}
    for history in corpus.histories(*APIS):
        why = history.index["error_message"]
        if history.accepted or why.startswith(FETCHED):
            continue
        body = json.loads(json.dumps(history.body).replace("<MASSIVE_TEXT>", "word " * 1_000_000))
        found = check_request(rules_of(history.file), body, model=history.index["model"], tokens="any")
        if not any(same(why, sentence) for sentence in found):
            missed[history.file] = (why, found)
    assert missed == {}


def same(theirs, ours):
    """The same sentence but for its numbers, or both about the length."""
    plain = [re.sub(r"\d+", "0", text) for text in (theirs, ours)]
    return plain[0] == plain[1] or all(re.search("too long|context|token count", text) for text in plain)


def test_every_recorded_request_that_was_answered_is_taken(corpus):
    refused, count = {}, 0
    for exchange in corpus.exchanges(*APIS):
        if exchange.status != 200 or not exchange.request.startswith("{"):
            continue
        body, folder, api = json.loads(exchange.request), rules_of(exchange.file), exchange.api
        if folder != api and "openai.com" not in exchange.uri and api.startswith("openai"):
            api = {"openai-chat": "generic-openai", "openai-responses": "generic-openai-responses"}[api]
        named = re.search(r"models/([^:/]+):", exchange.uri)
        model = named[1] if named else body.get("model") or "unknown"
        found = check_request(api, body, model=model, tokens="any")
        if "aiplatform.googleapis.com" in exchange.uri:  # Vertex fetches addresses for the models before 2.5, too
            found = [said for said in found if not said.startswith("Invalid or unsupported file uri")]
        count += 1
        if found:
            refused[f"{exchange.file} {exchange.interaction}"] = found
    assert count > 1500
    assert refused == {}
