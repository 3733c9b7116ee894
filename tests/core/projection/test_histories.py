"""Real histories, moved to every kind of target: what is sent must be what the target's API takes."""

import json

import pytest

from joch_core.projection import project
from joch_core.testing import check_request
from joch_core.wire import wire

APIS = (
    "openai-chat",
    "openai-responses",
    "anthropic-messages",
    "gemini-generate",
    "generic-openai",
    "generic-openai-responses",
)


def read(history):
    api = history.api.replace("generic-openai-responses", "openai-responses")
    return wire(api).read_request(history.body, "elsewhere")


@pytest.mark.corpus
@pytest.mark.slow
def test_every_history_that_a_provider_took_is_taken_by_every_other(corpus, targets):
    refused, sent = {}, 0
    for history in corpus.histories(*APIS):
        if not history.accepted:
            continue
        request = read(history)
        for name, target in targets.items():
            projected = project(request, target)
            if projected.blocking:
                continue
            body = json.loads(json.dumps(wire(target.api).render(projected.request, target, stream=False)))
            api = "generic-openai" if target.provider == "openai-compatible" else target.api
            sent += 1
            if found := check_request(api, body, model=target.model, window=10**9):
                refused[f"{history.file} → {name}"] = found
    assert sent > 2_000
    assert refused == {}


@pytest.mark.corpus
def test_a_projection_leaves_every_history_as_it_was(corpus, targets):
    for history in list(corpus.histories(*APIS))[::6]:
        before, request = read(history), read(history)
        for target in targets.values():
            project(request, target)
        assert request == before


@pytest.mark.corpus
def test_every_call_of_every_history_is_answered_once_and_directly_after_it(corpus, targets):
    for history in list(corpus.histories(*APIS))[::3]:
        request = read(history)
        for target in targets.values():
            open_calls = []
            for message in project(request, target).request.messages:
                for result in message.tool_results:
                    assert result.call_id == open_calls.pop(0)
                if message.role != "tool":
                    assert not open_calls
                open_calls += [call.id for call in message.tool_calls]
            assert not open_calls
