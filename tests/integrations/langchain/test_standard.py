"""LangChain's own unit suite for chat models."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_joch import JochChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from joch_core.testing import Simulator


@pytest.mark.usefixtures("simulator")
class TestJochChatModel(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return JochChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "openai:gpt-5-mini", "fallbacks": ["anthropic:claude-sonnet"]}

    @pytest.fixture
    def model(self, simulator: Simulator) -> BaseChatModel:
        return self.chat_model_class(**self.standard_chat_model_params, **self.chat_model_params)
