"""LangChain's own integration suite on every wire format, three times: alone, with a primary that answers 503, and with one
that dies before its first token.

The provider is the simulator; what the suite would download (a picture, a document, a sound) is given from here. OpenAI's
Responses API and Anthropic take no sound: alone they skip that test, in a route the call goes on to a backend that does. Two
more tests are skipped in every run: `serdes` (only LangChain's own classes may be loaded from their form) and `stream_time`
(it measures a provider, and needs a recording of one).
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
---
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: listening}
spec: {provider: openai, model: gpt-audio, endpoint: {api: openai-chat}, capabilities: {audio: true, toolCalling: true}}
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
    """The suite. A subclass names its backends, what is wrong with the first one's provider, and another model's name."""

    backends: tuple[str, ...] = ()
    fault: dict[str, Any] | None = None
    override: str = ""
    audio = True

    @pytest.fixture(autouse=True)
    def _provider(
        self, simulator: Simulator, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resources = tmp_path / "models.yaml"
        resources.write_text(CHAT)
        monkeypatch.setenv("JOCH_RESOURCES", str(resources))
        monkeypatch.setattr("httpx.get", lambda url, **_options: _Download(url))
        turns, repeat_last = SCRIPTS.get(request.node.originalname, ([], False))
        primary, *others = (backend.partition(":")[0] for backend in self.backends)
        if turns:
            # A request that is cut off takes its turn with it, so that only those who answer are told what to say.
            for provider in [primary] if self.fault is None else others:
                simulator.script(turns, repeat_last=repeat_last, provider=provider)
        if self.fault is not None:
            simulator.fail(primary, **self.fault)

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest, _provider: None) -> BaseChatModel:
        if request.node.originalname == "test_audio_inputs" and self.backends == ("openai:chatty",):
            return JochChatModel(model="openai:listening")
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


#: Each wire's backend, those that follow when it fails, and a model that the calls with `model=` name instead.
WIRES = {
    "OpenAIResponses": ("openai:gpt-5-mini", ["google:gemini-pro"], "gpt-5-nano"),
    "OpenAIChat": ("openai:chatty", ["anthropic:claude-sonnet-4-5", "google:gemini-pro"], "gpt-5-nano"),
    "Anthropic": ("anthropic:claude-sonnet-4-5", ["openai:gpt-5-mini", "google:gemini-pro"], "claude-haiku-4-5"),
    "Google": ("google:gemini-pro", ["anthropic:claude-sonnet-4-5", "openai:listening"], "gemini-2.5-flash"),
}
OVERRIDES_ELSEWHERE = {"openai": "gemini-2.5-flash", "anthropic": "gemini-2.5-flash", "google": "claude-haiku-4-5"}
SITUATIONS: dict[str, dict[str, Any] | None] = {
    "Alone": None,
    "AfterA503": {"status": 503},
    # Status 200; then the stream ends before its first event, a whole answer in its middle.
    "AfterADeathBeforeTheFirstToken": {"mode": "disconnect"},
}

for wire, (backend, others, override) in WIRES.items():
    for situation, fault in SITUATIONS.items():
        name = f"Test{wire}{situation}"
        globals()[name] = type(
            name,
            (Wires,),
            {
                "__module__": __name__,
                "backends": (backend,) if fault is None else (backend, *others),
                "fault": fault,
                "override": override if fault is None else OVERRIDES_ELSEWHERE[backend.partition(":")[0]],
                "audio": fault is not None or wire in ("Google", "OpenAIChat"),
            },
        )

del Wires
