"""One simulator and one client of each SDK for the whole folder: they are costly to make and have no memory of their own."""

import asyncio
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
