"""One simulator and one client of each SDK for the whole folder: they are costly to make and have no memory of their own."""

import asyncio
import copy
import json
import urllib.error
import urllib.request
from types import SimpleNamespace

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from joch_core.testing import Simulator


@pytest.fixture(scope="session")
def running():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def sim(running):
    """The simulator, with nothing ordered and nothing in its journal."""
    running.recover()
    running.clear()
    running._desk.scripts.clear()
    return running


@pytest.fixture(scope="session")
def sdk(running):
    """Synchronous clients without retries, with a short timeout."""
    options = {"api_key": "k", "max_retries": 0, "timeout": 1}
    return SimpleNamespace(
        openai=openai.OpenAI(base_url=running.base_url("openai"), **options),
        anthropic=anthropic.Anthropic(base_url=running.base_url("anthropic"), **options),
        google=genai.Client(
            api_key="k", http_options=types.HttpOptions(base_url=running.base_url("google"), timeout=1000)
        ),
    )  # fmt: skip


@pytest.fixture
async def asdk(running):
    """Asynchronous clients without retries, with a short timeout."""
    options = {"api_key": "k", "max_retries": 0, "timeout": 1}
    clients = SimpleNamespace(
        openai=openai.AsyncOpenAI(base_url=running.base_url("openai"), **options),
        anthropic=anthropic.AsyncAnthropic(base_url=running.base_url("anthropic"), **options),
        google=genai.Client(
            api_key="k", http_options=types.HttpOptions(base_url=running.base_url("google"), timeout=1000)
        ).aio,
    )  # fmt: skip
    yield clients
    await asyncio.gather(clients.openai.close(), clients.anthropic.close(), clients.google.aclose())


@pytest.fixture(scope="session")
def changed():
    """A copy of a body with changes: `a.0.b` puts a value there, `a.+0` inserts before, and the value `...` takes away."""

    def change(body, changes):
        body = copy.deepcopy(body)
        for path, value in changes.items():
            *way, last = path.split(".")
            place = body
            for step in way:
                place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
            if last.startswith("+"):
                place.insert(int(last[1:]), value)
                continue
            key = int(last) if isinstance(place, list) else last
            if value is ...:
                del place[key]
            else:
                place[key] = value
        return body

    return change


@pytest.fixture
def send(sim, sdk):
    """Send a body as it stands, by the SDK where it has a door for that: None, or the status and the sentence."""

    def post(api, body):
        try:
            match api:
                case "openai-chat":
                    sdk.openai.post("/chat/completions", cast_to=object, body=body)
                case "openai-responses":
                    sdk.openai.post("/responses", cast_to=object, body=body)
                case "anthropic-messages":
                    sdk.anthropic.post("/v1/messages", cast_to=object, body=body)
                case _:
                    url = f"{sim.base_url('google')}/v1beta/models/{body['model']}:generateContent"
                    data = json.dumps({name: value for name, value in body.items() if name != "model"}).encode()
                    urllib.request.urlopen(urllib.request.Request(url, data, {"x-goog-api-key": "k"}), timeout=5).close()
        except openai.APIStatusError as error:
            return error.status_code, error.body["message"]
        except anthropic.APIStatusError as error:
            return error.status_code, error.body["error"]["message"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["error"]["message"]
        return None

    return post
