"""Any LangChain chat model as a candidate of a route: `langchain:NAME`.

A way out for what Joch has no provider for. Joch projects and renders the request as it does for any server that speaks
OpenAI Chat; here the body becomes LangChain messages and the answer a body again, without a connection in between.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from langchain_core import exceptions as langchain
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, convert_to_messages

from joch_core import InvalidArgument, Json

#: HTTP's word for each class of LangChain's errors.
_STATUS: Mapping[type[Exception], int] = {
    langchain.ModelAuthenticationError: 401,
    langchain.ModelPermissionDeniedError: 403,
    langchain.ModelNotFoundError: 404,
    langchain.ModelInvalidRequestError: 400,
    langchain.ContextOverflowError: 400,
    langchain.ModelRateLimitError: 429,
    langchain.ModelTimeoutError: 504,
    langchain.ModelConnectionError: 502,
    langchain.ModelAPIError: 503,
}
_OPTIONS = ("temperature", "top_p", "stop", "seed", "max_tokens")


class _Response:
    """A whole answer in the form in which an SDK gives it."""

    def __init__(self, status_code: int, body: Json) -> None:
        self.status_code = status_code
        self.headers = {"content-type": "application/json"}
        self._content = json.dumps(body).encode()

    def iter_bytes(self) -> Iterator[bytes]:
        yield self._content

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        yield self._content

    async def aread(self) -> bytes:
        return self._content

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""


class _Clients:
    """The two colours; a client here is no more than its colour."""

    sync = staticmethod(lambda: "sync")
    asynchronous = staticmethod(lambda: "asynchronous")


class Provider:
    """What the entry point `langchain` of `joch.providers` names. It finds the model that `LangChainProvider` has."""

    key_variables: Sequence[str] = ()

    def clients(self, endpoint: Any) -> Any:  # noqa: ARG002  the contract's
        """Nothing to open: the model has its own clients."""
        return _Clients

    def post(self, client: str, path: str, body: Json, timeouts: Any) -> Any:  # noqa: ARG002
        """Ask the model. Its errors become statuses; anything else it raises is Joch's to classify."""
        model = LangChainProvider.model_of(body["model"])
        if client == "asynchronous":
            return _aask(model, body)
        return _ask(model, body)

    async def aclose(self, client: Any) -> None:
        """Nothing is open."""

    def close(self, client: Any) -> None:
        """Nothing is open."""


class LangChainProvider:
    """A LangChain chat model under a name: `LangChainProvider("bedrock", ChatBedrockConverse(…)).backend`.

    The backend is `langchain:bedrock` and may stand in any route of this process. Give the model `max_retries=0`: retries
    and failovers are the route's. A `Model` resource of that name tells Joch its windows, prices and regions.
    """

    _models: ClassVar[dict[str, BaseChatModel]] = {}

    def __init__(self, name: str, model: BaseChatModel) -> None:
        if not name or any(sign.isspace() for sign in name):
            raise InvalidArgument(f"{name!r} is no name for a backend: give one word")
        self.name = name
        self.backend = f"langchain:{name}"
        self._models[name] = model

    @classmethod
    def model_of(cls, name: str) -> BaseChatModel:
        """The model of this name.

        Raises:
            InvalidArgument: there is none in this process.
        """
        if name not in cls._models:
            raise InvalidArgument(
                f"no LangChain model is called {name!r} here: make LangChainProvider({name!r}, model) first"
            )
        return cls._models[name]


def _bound(model: BaseChatModel, body: Json) -> tuple[Any, list[Any]]:
    options = {name: body[name] for name in _OPTIONS if body.get(name) is not None}
    if (limit := body.get("max_completion_tokens")) is not None:
        options["max_tokens"] = limit
    if tools := body.get("tools"):
        choice = body.get("tool_choice")
        given: Any = {} if choice in (None, "auto") else {"tool_choice": "any" if choice == "required" else choice}
        return model.bind_tools(tools, **given, **options), convert_to_messages(body["messages"])
    return model.bind(**options), convert_to_messages(body["messages"])


# The inner call is Joch's, not the caller's: without callbacks of its own it would be traced as a second model run.
_QUIET: Any = {"callbacks": [], "tags": ["joch:inner"]}


def _ask(model: BaseChatModel, body: Json) -> _Response:
    try:
        runnable, messages = _bound(model, body)
        return _Response(200, _completion(runnable.invoke(messages, config=_QUIET), body))
    except langchain.ModelError as error:
        return _refusal(error)


async def _aask(model: BaseChatModel, body: Json) -> _Response:
    try:
        runnable, messages = _bound(model, body)
        return _Response(200, _completion(await runnable.ainvoke(messages, config=_QUIET), body))
    except langchain.ModelError as error:
        return _refusal(error)


def _refusal(error: langchain.ModelError) -> _Response:
    status = next((status for cls, status in _STATUS.items() if isinstance(error, cls)), 500)
    code = "context_length_exceeded" if isinstance(error, langchain.ContextOverflowError) else None
    return _Response(status, {"error": {"message": str(error), "code": code, "type": type(error).__name__}})


def _completion(message: AIMessage, body: Json) -> Json:
    """An answer as a body of OpenAI Chat."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for call in message.tool_calls
    ]
    answer: Json = {"role": "assistant", "content": str(message.text) or None}
    if calls:
        answer["tool_calls"] = calls
    said = message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason")
    finish = "tool_calls" if calls else "length" if said in ("length", "max_tokens", "MAX_TOKENS") else "stop"
    out: Json = {
        "id": message.id or "langchain",
        "object": "chat.completion",
        "model": message.response_metadata.get("model_name") or body["model"],
        "choices": [{"index": 0, "finish_reason": finish, "message": answer}],
    }
    if (usage := message.usage_metadata) is not None:
        out["usage"] = {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        }
    return out
