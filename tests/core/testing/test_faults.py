"""How ordered faults look to the real SDKs."""

import json
import time

import anthropic
import httpx2
import openai
import pytest
from google.genai import errors

from joch_core.errors import InvalidArgument
from joch_core.testing import Simulator
from joch_core.testing.faults import fault, model_name

USER = [{"role": "user", "content": "hi"}]
LONG = [{"role": "user", "content": "A sentence that is long enough to be cut into several pieces, which it shall be."}]


def ask_chat(sdk, model="gpt-4o", **options):
    return sdk.openai.chat.completions.create(model=model, messages=LONG, **options)


def ask_responses(sdk, model="gpt-4o", **options):
    return sdk.openai.responses.create(model=model, input=LONG, **options)


def ask_claude(sdk, model="claude-sonnet-5", **options):
    return sdk.anthropic.messages.create(model=model, max_tokens=100, messages=LONG, **options)


def ask_gemini(sdk, model="gemini-2.5-flash", stream=False):
    models = sdk.google.models
    return (models.generate_content_stream if stream else models.generate_content)(model=model, contents=LONG[0]["content"])


ASKS = {"chat": ask_chat, "responses": ask_responses, "claude": ask_claude, "gemini": ask_gemini}

# ------------------------------------------------------------------------------------------------------ HTTP statuses

STATUSES = {
    400: (openai.BadRequestError, anthropic.BadRequestError),
    401: (openai.AuthenticationError, anthropic.AuthenticationError),
    402: (openai.APIStatusError, anthropic.PaymentRequiredError),
    403: (openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    404: (openai.NotFoundError, anthropic.NotFoundError),
    408: (openai.APIStatusError, anthropic.RequestTimeoutError),
    409: (openai.ConflictError, anthropic.ConflictError),
    413: (openai.APIStatusError, anthropic.ContentTooLargeError),
    429: (openai.RateLimitError, anthropic.RateLimitError),
    500: (openai.InternalServerError, anthropic.InternalServerError),
    502: (openai.InternalServerError, anthropic.InternalServerError),
    503: (openai.InternalServerError, anthropic.ServiceUnavailableError),
    504: (openai.InternalServerError, anthropic.GatewayTimeoutError),
    529: (openai.InternalServerError, anthropic.OverloadedError),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_has_the_error_class_and_the_body_of_its_api(sim, sdk, status, stream):
    sim.fail(status=status)
    for ask in (ask_chat, ask_responses):
        with pytest.raises(STATUSES[status][0]) as told:
            ask(sdk, stream=stream)
        assert told.value.status_code == status
        assert told.value.body["message"]
    with pytest.raises(STATUSES[status][1]) as told:
        ask_claude(sdk, stream=stream)
    assert told.value.status_code == status
    assert told.value.body["error"]["type"].endswith("_error") or status == 413
    with pytest.raises(errors.APIError) as told:
        list(ask_gemini(sdk, stream=stream))
    assert told.value.code == status
    assert told.value.status


def test_kinds_say_what_the_status_alone_does_not(sim, sdk):
    sim.fail(kind="quota", times=4)
    with pytest.raises(openai.RateLimitError) as told:
        ask_chat(sdk)
    assert told.value.code == "insufficient_quota"
    with pytest.raises(anthropic.RateLimitError) as told:
        ask_claude(sdk)
    assert "usage limits" in str(told.value)
    with pytest.raises(errors.ClientError) as told:
        ask_gemini(sdk)
    assert "PerDay" in json.dumps(told.value.details)
    sim.recover()
    sim.fail(kind="context_length")
    with pytest.raises(openai.BadRequestError) as told:
        ask_responses(sdk)
    assert told.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 200000 maximum"):
        ask_claude(sdk)


def test_retry_after_is_a_header(sim, sdk):
    sim.fail("openai", status=429, retry_after=3)
    with pytest.raises(openai.RateLimitError) as told:
        ask_chat(sdk)
    assert told.value.response.headers["retry-after"] == "3"


# ---------------------------------------------------------------------------------------------------- when and for whom


def test_a_fault_is_over_after_its_times(sim, sdk):
    sim.fail("openai", status=503, times=2)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            ask_chat(sdk)
    assert ask_chat(sdk).choices
    assert [call.status for call in sim.calls("openai")] == [503, 503, 200]
    assert [call.fault for call in sim.calls("openai")] == ["fail 503", "fail 503", None]


def test_an_outage_lasts_from_request_to_request(sim, sdk):
    sim.fail("anthropic", status=529, from_turn=2, to_turn=3)
    seen = []
    for _ in range(4):
        try:
            ask_claude(sdk)
            seen.append(200)
        except anthropic.OverloadedError as error:
            seen.append(error.status_code)
    assert seen == [200, 529, 529, 200]


def test_a_fault_strikes_the_named_provider_api_or_model_only(sim, sdk):
    sim.fail("openai-responses", status=500)
    sim.fail("google", "gemini-2.5-pro", status=500)
    assert ask_chat(sdk).choices
    assert ask_gemini(sdk).text
    with pytest.raises(openai.InternalServerError):
        ask_responses(sdk)
    with pytest.raises(errors.ServerError):
        ask_gemini(sdk, model="gemini-2.5-pro")
    sim.recover("google")
    assert ask_gemini(sdk, model="gemini-2.5-pro").text


@pytest.mark.parametrize("name", ASKS)
def test_a_models_name_can_carry_a_fault(sim, sdk, name):
    model = {"claude": "claude-sonnet-5", "gemini": "gemini-2.5-flash"}.get(name, "gpt-4o")
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError, errors.ClientError)):
        ASKS[name](sdk, model=f"{model}+fail=429;retry_after=1;times=1")
    assert ASKS[name](sdk, model=f"{model}+fail=429;retry_after=1;times=1")
    assert [call.status for call in sim.journal] == [429, 200]


def test_a_models_name_is_read_with_all_its_suffixes():
    read = model_name("gpt-5-mini+fail=429;retry_after=1+delay=0.5")
    assert (read.base, read.fault.http_status, read.fault.retry_after_s, read.fault.delay_s) == ("gpt-5-mini", 429, "1", 0.5)
    assert model_name("m+truncate=3").fault == fault(mode="truncate", after=3)
    assert model_name("m+window=99").window == 99
    assert model_name("m+alternating").flags == {"alternating"}
    assert model_name("plain").fault is None


def test_an_unknown_mode_is_refused_with_the_list_of_those_there_are():
    with pytest.raises(InvalidArgument, match="disconnect"):
        fault(mode="explode")
    with pytest.raises(InvalidArgument, match="colour"):
        fault(status=500, colour="red")


# --------------------------------------------------------------------------------------------------- broken whole answers


@pytest.mark.parametrize("ask", [ask_chat, ask_responses, ask_claude])
def test_a_page_of_html_is_no_exception_in_the_sdks_but_a_text(sim, sdk, ask):
    sim.fail(mode="html200")
    assert isinstance(ask(sdk), str)


@pytest.mark.parametrize("mode", ["broken_json", "empty"])
@pytest.mark.parametrize("ask", [ask_chat, ask_responses, ask_claude])
def test_a_broken_body_is_a_json_error(sim, sdk, ask, mode):
    sim.fail(mode=mode)
    with pytest.raises(json.JSONDecodeError):
        ask(sdk)


@pytest.mark.parametrize("mode", ["reset", "disconnect", "refuse"])
def test_a_lost_connection_is_a_connection_error(sim, sdk, mode):
    sim.fail(mode=mode)
    for ask in (ask_chat, ask_responses):
        with pytest.raises(openai.APIConnectionError):
            ask(sdk)
    with pytest.raises(anthropic.APIConnectionError):
        ask_claude(sdk)
    with pytest.raises(httpx2.TransportError):
        ask_gemini(sdk)


def test_a_stalled_answer_is_a_timeout(sim, sdk):
    sim.fail(mode="stall")
    with pytest.raises(openai.APITimeoutError):
        sdk.openai.with_options(timeout=0.1).chat.completions.create(model="gpt-4o", messages=USER)
    with pytest.raises(anthropic.APITimeoutError):
        sdk.anthropic.with_options(timeout=0.1).messages.create(model="claude-sonnet-5", max_tokens=9, messages=USER)


def test_a_delayed_answer_comes_late(sim, sdk):
    sim.fail("openai", delay=0.2)
    before = time.monotonic()
    assert ask_chat(sdk).choices
    assert time.monotonic() - before >= 0.2


# ------------------------------------------------------------------------------------------------------- broken streams


@pytest.mark.parametrize("name", ASKS)
def test_a_truncated_stream_ends_without_its_marker_and_without_an_exception(sim, sdk, name):
    sim.fail(stream="truncate", after=2)
    events = list(ASKS[name](sdk, stream=True))
    assert len(events) == 2


@pytest.mark.parametrize("name", ASKS)
def test_an_empty_stream_has_no_event(sim, sdk, name):
    sim.fail(stream="empty")
    assert list(ASKS[name](sdk, stream=True)) == []


@pytest.mark.parametrize("mode", ["disconnect", "reset"])
@pytest.mark.parametrize("name", ASKS)
def test_a_cut_stream_gives_its_first_events_and_then_an_error(sim, sdk, name, mode):
    sim.fail(stream=mode, after=2)
    seen = []
    with pytest.raises((openai.APIConnectionError, httpx2.TransportError)):
        for event in ASKS[name](sdk, stream=True):
            seen.append(event)
    assert len(seen) == 2


@pytest.mark.parametrize("name", ["chat", "claude"])
def test_a_stalled_stream_gives_its_first_events_and_then_times_out(sim, sdk, name):
    sim.fail(stream="stall", after=2)
    seen = []
    with pytest.raises((openai.APITimeoutError, httpx2.ReadTimeout)):
        for event in ASKS[name](sdk, stream=True, timeout=0.15):
            seen.append(event)
    assert len(seen) == 2


@pytest.mark.parametrize("name", ASKS)
def test_a_malformed_event_is_a_decoding_error(sim, sdk, name):
    sim.fail(stream="malformed", after=1)
    with pytest.raises((json.JSONDecodeError, errors.UnknownApiResponseError)):
        list(ASKS[name](sdk, stream=True))


def test_an_error_event_is_told_as_each_sdk_tells_it(sim, sdk):
    sim.fail(stream="error_event", after=2)
    with pytest.raises(openai.APIError, match="overloaded"):
        list(ask_chat(sdk, stream=True))
    assert list(ask_responses(sdk, stream=True))[-1].type == "error"
    with pytest.raises(anthropic.APIStatusError) as told:
        list(ask_claude(sdk, stream=True))
    assert (told.value.status_code, told.value.type) == (200, "overloaded_error")
    with pytest.raises(errors.ServerError):
        list(ask_gemini(sdk, stream=True))


def test_a_dripping_stream_is_complete_but_slow(sim, sdk):
    sim.fail("google", stream="drip", interval=0.0002)
    before = time.monotonic()
    chunks = list(sdk.google.models.generate_content_stream(model="gemini-2.0-flash", contents="hi"))
    assert chunks[-1].candidates[0].finish_reason == "STOP"
    assert time.monotonic() - before > 0.1


async def test_the_asynchronous_clients_see_a_cut_stream_as_well(sim, asdk):
    sim.fail(stream="disconnect", after=2)
    seen = []
    with pytest.raises(openai.APIConnectionError):
        async for chunk in await asdk.openai.chat.completions.create(model="gpt-4o", messages=LONG, stream=True):
            seen.append(chunk)
    with pytest.raises(httpx2.RemoteProtocolError):
        async for event in await asdk.anthropic.messages.create(
            model="claude-sonnet-5", max_tokens=99, messages=LONG, stream=True
        ):
            seen.append(event)
    assert len(seen) == 4


# ------------------------------------------------------------------------------------------------------- a closed port


def test_a_refused_connection_is_one_that_was_never_made():
    with Simulator() as sim:
        client = openai.OpenAI(base_url=sim.own_port("openai"), api_key="k", max_retries=0)
        assert client.models is not None
        sim.refuse("openai")
        with pytest.raises(openai.APIConnectionError) as told:
            client.chat.completions.create(model="gpt-4o", messages=USER)
        assert isinstance(told.value.__cause__, httpx2.ConnectError)
        assert sim.calls() == []
        sim.recover("openai")
        assert client.chat.completions.create(model="gpt-4o", messages=USER).choices
        assert sim.env()["JOCH_PROVIDER_OPENAI_BASE_URL"] == sim.base_url("openai") != f"{sim.url}/v1"


def test_only_a_port_of_its_own_can_be_closed(sim):
    with pytest.raises(InvalidArgument, match="own_port"):
        sim.refuse("google")
