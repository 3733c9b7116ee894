"""Recorded histories, moved to every provider, against the strict rules: what Joch would send, the target would take."""

import pytest

from joch_core import Joch, read_request
from joch_core.testing import check_request

APIS = (
    "openai-chat",
    "openai-responses",
    "anthropic-messages",
    "gemini-generate",
    "generic-openai",
    "generic-openai-responses",
)
GEMINI = {"google:gemini-pro": "gemini-3.1-pro-preview", "google:gemini-2.5-flash": "gemini-2.5-flash"}


def api_of(body):
    if "contents" in body:
        return "gemini-generate"
    if "input" in body:
        return "openai-responses"
    return "anthropic-messages" if str(body["model"]).startswith("claude") else "openai-chat"


@pytest.mark.corpus
@pytest.mark.parametrize(
    "target", ["openai:gpt-5-mini", "openai:gpt-4o", "anthropic:claude-sonnet", "anthropic:claude-opus-4-7", *GEMINI]
)
def test_a_history_that_moves_is_taken_by_its_target(corpus, target):
    refused, moved = {}, 0
    with Joch(store="sqlite:///:memory:") as joch:
        for history in corpus.histories(*APIS):
            if not history.accepted:
                continue
            api = history.file.partition("/")[0].replace("generic-openai-responses", "openai-responses")
            body = joch.preview(request=read_request(api, history.body), to=target)
            moved += 1
            found = check_request(api_of(body), body, model=GEMINI.get(target))
            if found:
                refused[history.file] = found
    assert moved > 250
    assert refused == {}
