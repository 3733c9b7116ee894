"""LangChain's own integration suite on every wire format, once alone and once through a failover.

The provider is the simulator; what the suite would download (a picture, a document, a sound) is given from here. The second
half has a primary that answers 503, so that every answer of the suite comes from a fallback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_joch import JochChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from joch_core.testing import Simulator

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:LANGCHAIN_TESTS_USER_AGENT")]

CHAT = """
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: chatty}
spec: {provider: openai, model: gpt-5-mini, endpoint: {api: openai-chat}}
"""
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
WAV = b"RIFF$\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00@\x1f\x00\x00\x01\x00\x08\x00data\x00\x00\x00\x00"
FILES = {"png": PNG, "pdf": PDF, "wav": WAV}
JOKE = json.dumps({"setup": "Why do cats purr?", "punchline": "Because they can."})


def calls(name: str, **args: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": args}]}


#: What the model says in a test that wants something particular.
SCRIPTS: dict[str, tuple[list[Any], bool]] = {
    "test_tool_calling": ([calls("magic_function", input=3)], True),
    "test_tool_calling_async": ([calls("magic_function", input=3)], True),
    "test_agent_loop": ([calls("get_weather", location="San Francisco, CA"), "It's sunny."], False),
    "test_json_mode": ([JOKE], True),
    "test_unicode_tool_call_integration": (
        [
            calls("unicode_customer", customer_name="你好啊集团", description="tech"),
            calls("unicode_customer", customer_name="こんにちは株式会社", description="company"),
        ],
        False,
    ),
}


class _Download:
    def __init__(self, url: str) -> None:
        self.content = FILES[url.rpartition(".")[2]]


class Wires(ChatModelIntegrationTests):
    """The suite; a subclass names its backends."""

    backends: tuple[str, ...] = ()
    down: str | None = None
    override: str = ""
    audio = False

    @pytest.fixture(autouse=True)
    def _provider(
        self, simulator: Simulator, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resources = tmp_path / "models.yaml"
        resources.write_text(CHAT)
        monkeypatch.setenv("JOCH_RESOURCES", str(resources))
        monkeypatch.setattr("httpx.get", lambda url, **_options: _Download(url))
        turns, repeat_last = SCRIPTS.get(request.node.originalname, ([], False))
        if turns:
            simulator.script(turns, repeat_last=repeat_last)
        if self.down is not None:
            simulator.fail(self.down, status=503)

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest, _provider: None) -> BaseChatModel:
        return self.chat_model_class(**self.chat_model_params, **getattr(request, "param", {}))

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return JochChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.backends[0], "fallbacks": list(self.backends[1:])}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return self.audio

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str | None:
        return self.override


class TestOpenAIResponses(Wires):
    backends = ("openai:gpt-5-mini",)
    override = "gpt-5-nano"


class TestOpenAIChat(Wires):
    backends = ("openai:chatty",)
    override = "gpt-5-nano"


class TestAnthropic(Wires):
    backends = ("anthropic:claude-sonnet-4-5",)
    override = "claude-haiku-4-5"


class TestGoogle(Wires):
    backends = ("google:gemini-pro",)
    override = "gemini-2.5-flash"
    audio = True


class TestAnthropicForOpenAI(Wires):
    backends = ("openai:gpt-5-mini", "anthropic:claude-sonnet-4-5")
    down = "openai"
    override = "claude-haiku-4-5"


class TestOpenAIForAnthropic(Wires):
    backends = ("anthropic:claude-sonnet", "openai:gpt-5-mini")
    down = "anthropic"
    override = "gpt-5-nano"


class TestGoogleForOpenAI(Wires):
    backends = ("openai:gpt-5-mini", "google:gemini-pro")
    down = "openai"
    override = "gemini-2.5-flash"
    audio = True


del Wires
