"""Final errors that are two things at once: Joch's own class, and LangChain's `ModelError` class of the same meaning.

A caller catches `RouteExhausted` or `ModelRateLimitError`, whichever they know; LangChain's retry and summarisation
middlewares decide by the second. The classes are made here once, by a table, so that an error can be pickled.
"""

from __future__ import annotations

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from joch_core import (
    BudgetExceeded,
    ContextTooSmall,
    ConversationConflict,
    InvalidArgument,
    InvalidResource,
    JochError,
    MigrationRefused,
    NoEligibleCandidate,
    NotFound,
    PolicyDenied,
    ProviderError,
    RouteExhausted,
    StoreError,
    StreamInterrupted,
)

#: LangChain's class for each kind of fault of a provider.
BY_KIND: dict[str, type[ModelError]] = {
    "invalid_request": ModelInvalidRequestError,
    "context_length": ContextOverflowError,
    "authentication": ModelAuthenticationError,
    "permission": ModelPermissionDeniedError,
    "not_found": ModelNotFoundError,
    "rate_limit": ModelRateLimitError,
    "quota": ModelRateLimitError,
    "overloaded": ModelAPIError,
    "server_error": ModelAPIError,
    "timeout": ModelTimeoutError,
    "content_filter": ModelInvalidRequestError,
    "connection": ModelConnectionError,
    "stream_incomplete": ModelAPIError,
    "other": ModelError,
}
#: Errors whose meaning hangs on what the provider said.
_BY_FAULT: tuple[type[JochError], ...] = (ProviderError, RouteExhausted)
_BY_CLASS: dict[type[JochError], type[ModelError]] = {
    StreamInterrupted: ModelAPIError,
    ContextTooSmall: ContextOverflowError,
    NoEligibleCandidate: ModelNotFoundError,
    PolicyDenied: ModelPermissionDeniedError,
    MigrationRefused: ModelPermissionDeniedError,
    BudgetExceeded: ModelError,
    NotFound: ModelNotFoundError,
    InvalidArgument: ModelInvalidRequestError,
    InvalidResource: ModelInvalidRequestError,
    ConversationConflict: ModelError,
    StoreError: ModelError,
}


def _pair(joch: type[JochError], langchain: type[ModelError]) -> type[JochError]:
    name = f"{joch.__name__}{'' if langchain is ModelError else langchain.__name__}"
    body = {"__module__": __name__, "__doc__": f"`{joch.__name__}`, and `{langchain.__name__}` of LangChain."}
    pair: type[JochError] = type(name, (joch, langchain), body)
    globals()[name] = pair  # where pickle looks for it
    return pair


_PAIRS: dict[tuple[type[JochError], type[ModelError]], type[JochError]] = {
    (joch, langchain): _pair(joch, langchain) for joch in _BY_FAULT for langchain in dict.fromkeys(BY_KIND.values())
} | {(joch, langchain): _pair(joch, langchain) for joch, langchain in _BY_CLASS.items()}


def _meaning(error: JochError) -> type[ModelError]:
    for cls, meaning in _BY_CLASS.items():
        if isinstance(error, cls):
            return meaning
    kinds = [attempt.kind for attempt in error.attempts if attempt.kind in BY_KIND]
    return BY_KIND.get(error.kind) or (BY_KIND[kinds[-1]] if kinds else ModelError)


def for_langchain(error: JochError) -> JochError:
    """The same error with LangChain's meaning added: message, attempts and all fields stay.

    A quota that is used up is a rate limit without a retry. An error that is about no model call comes back as it is.
    """
    if isinstance(error, ModelError):
        return error
    joch = next((cls for cls in (*_BY_FAULT, *_BY_CLASS) if type(error) is cls), None)
    pair = None if joch is None else _PAIRS.get((joch, _meaning(error)))
    if pair is None:
        return error
    out = pair.__new__(pair)
    out.args = error.args
    out.__dict__.update(error.__dict__)
    if "quota" in (error.kind, *(attempt.kind for attempt in error.attempts[-1:])):
        out.__dict__["is_retryable"] = False
    return out.with_traceback(error.__traceback__)
