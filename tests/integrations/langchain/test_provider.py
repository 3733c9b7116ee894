from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_joch import JochChatModel, LangChainProvider

from joch_core import InvalidArgument
from joch_core.testing import Simulator

ENTRY_POINT = "[joch.providers]\nlangchain = langchain_joch.provider:Provider\n"


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


class Canned(BaseChatModel):
    """A chat model of somebody else's."""

    answer: AIMessage
    error: Any = None
    seen: list[Any] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "canned"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.seen.append((messages, {"stop": stop, **kwargs}))
        if self.error is not None:
            raise self.error
        return ChatResult(generations=[ChatGeneration(message=self.answer)])


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The distribution's entry point, as an installed wheel has it."""
    from joch_core.providers import base
    from joch_core.resources import backends

    folder: Path = tmp_path_factory.mktemp("site")
    info = folder / "langchain_joch-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: langchain-joch\nVersion: 0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for cached in (base.load_provider, backends._strangers):
            cached.cache_clear()
        yield
    for cached in (base.load_provider, backends._strangers):
        cached.cache_clear()


def canned(*answers: AIMessage, **fields: Any) -> Canned:
    return Canned(answer=answers[0] if answers else AIMessage("from the other side"), seen=[], **fields)


async def test_a_langchain_model_answers_as_a_fallback(simulator: Simulator) -> None:
    simulator.fail("openai", status=503)
    inner = canned()
    model = JochChatModel(model="openai:gpt-5-mini", fallbacks=[LangChainProvider("canned", inner).backend], max_tokens=50)

    message, amessage = model.invoke("hello"), await model.ainvoke("hello")
    streamed = "".join(str(chunk.text) for chunk in model.stream("hello"))

    assert [str(one.text) for one in (message, amessage)] == ["from the other side"] * 2
    assert streamed == "from the other side"
    assert message.response_metadata["joch"]["backend"] == "langchain:canned"
    assert [str(one.text) for one in inner.seen[0][0]] == ["hello"]


async def test_its_tool_calls_come_through(simulator: Simulator) -> None:
    inner = canned(AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Bern"}, "id": "x-1"}]))
    model = JochChatModel(model=LangChainProvider("caller", inner).backend)

    message = model.bind_tools([weather]).invoke("how is it in Bern?")

    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("weather", {"city": "Bern"})]
    assert inner.seen[0][1]["tools"][0]["function"]["name"] == "weather"


async def test_its_errors_are_a_reason_to_go_on(simulator: Simulator) -> None:
    inner = canned(error=ModelRateLimitError("slow down"))
    model = JochChatModel(model=LangChainProvider("limited", inner).backend, fallbacks=["anthropic:claude-sonnet"])

    message = model.invoke("hello")

    assert str(message.text) == "You said: hello"
    assert message.response_metadata["joch"]["reason"] == "rate_limit"


def test_a_model_that_nobody_made_is_named() -> None:
    with pytest.raises(InvalidArgument, match="nowhere"):
        LangChainProvider.model_of("nowhere")
