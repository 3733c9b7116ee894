"""Error bodies as each API words them, for ordered faults and for requests that are refused. Pure.

Sources: recorded error answers of the providers, and their error pages:
https://platform.openai.com/docs/guides/error-codes, https://docs.claude.com/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting.
"""

from __future__ import annotations

from dataclasses import dataclass

from joch_core.messages import Json


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request is refused: the API's own sentence, and what its error body says beside it."""

    message: str
    param: str | None = None
    code: str | None = None
    kind: str = "invalid_request"
    status: int = 400

    def __str__(self) -> str:
        return self.message


_OPENAI: dict[str, tuple[str, str | None, str]] = {
    "invalid_request": ("invalid_request_error", None, "Invalid request."),
    "context_length": (
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    "authentication": (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: ***. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    "billing": (
        "invalid_request_error",
        "billing_not_active",
        "Your account is not active, please check your billing details.",
    ),
    "permission": ("invalid_request_error", "permission_denied", "You have insufficient permissions for this operation."),
    "not_found": (
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    "timeout": ("timeout", None, "Request timed out."),
    "conflict": ("conflict_error", None, "The resource was changed by another request."),
    "too_large": ("invalid_request_error", None, "Request body is too large."),
    "rate_limit": (
        "requests",
        "rate_limit_exceeded",
        (
            "Rate limit reached for {model} in organization org-simulator on requests per min (RPM): Limit 3, Used 3, "
            "Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more."
        ),
    ),
    "quota": (
        "insufficient_quota",
        "insufficient_quota",
        (
            "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
            "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
        ),
    ),
    "server_error": (
        "server_error",
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    "bad_gateway": ("server_error", None, "Bad gateway."),
    "unavailable": ("server_error", None, "The engine is currently overloaded, please try again later."),
    "gateway_timeout": ("server_error", None, "Gateway timeout."),
    "overloaded": ("server_error", None, "The server is currently overloaded with other requests. Please try again later."),
    "content_filter": (
        "invalid_request_error",
        "content_filter",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
}

_ANTHROPIC: dict[str, tuple[str, str]] = {
    "invalid_request": ("invalid_request_error", "Invalid request."),
    "context_length": ("invalid_request_error", "prompt is too long: {tokens} tokens > {window} maximum"),
    "authentication": ("authentication_error", "invalid x-api-key"),
    "billing": ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    "permission": ("permission_error", "Your API key does not have permission to use the specified resource."),
    "not_found": ("not_found_error", "model: {model}"),
    "timeout": ("timeout_error", "Request timed out."),
    "conflict": ("invalid_request_error", "Conflict."),
    "too_large": ("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    "rate_limit": (
        "rate_limit_error",
        (
            "This request would exceed your organization's rate limit of 50 requests per minute. Please reduce the number of "
            "requests and try again later."
        ),
    ),
    "quota": (
        "rate_limit_error",
        "You have reached your specified API usage limits. You will regain access at the start of the next month.",
    ),
    "server_error": ("api_error", "Internal server error"),
    "bad_gateway": ("api_error", "Bad gateway"),
    "unavailable": ("api_error", "Service unavailable"),
    "gateway_timeout": ("timeout_error", "Gateway timeout"),
    "overloaded": ("overloaded_error", "Overloaded"),
    "content_filter": ("invalid_request_error", "Output blocked by content filtering policy"),
}

_GOOGLE: dict[str, tuple[str, str]] = {
    "invalid_request": ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    "context_length": (
        "INVALID_ARGUMENT",
        "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({window}).",
    ),
    "authentication": ("UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
    "billing": ("FAILED_PRECONDITION", "This API method requires billing to be enabled."),
    "permission": ("PERMISSION_DENIED", "The caller does not have permission"),
    "not_found": (
        "NOT_FOUND",
        (
            "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see "
            "the list of available models and their supported methods."
        ),
    ),
    "timeout": ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "conflict": ("ABORTED", "The operation was aborted."),
    "too_large": ("INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "rate_limit": ("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
    "quota": (
        "RESOURCE_EXHAUSTED",
        (
            "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
            "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
        ),
    ),
    "server_error": ("INTERNAL", "An internal error has occurred. Please retry or report."),
    "bad_gateway": ("UNAVAILABLE", "Bad gateway."),
    "unavailable": ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    "gateway_timeout": ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "overloaded": ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    "content_filter": ("INVALID_ARGUMENT", "The request was blocked."),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an error sentence names."""

    model: str = ""
    tokens: int = 0
    window: int = 0


def context_length(api: str, tokens: int, window: int) -> Rejection:
    """The refusal of an input that is larger than the model's window."""
    if api == "openai-chat":
        message = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens. Please "
            "reduce the length of the messages."
        )
        return Rejection(message, "messages", "context_length_exceeded", "context_length")
    facts = Facts(tokens=tokens, window=window)
    message = fault_body(api, "context_length", 400, facts, "")["error"]["message"]
    return Rejection(message, "input", "context_length_exceeded", "context_length")


def error_body(api: str, rejection: Rejection, request_id: str) -> Json:
    """The body of a refused request."""
    return _body(api, rejection.kind, rejection.status, rejection.message, rejection.param, rejection.code, request_id)


def fault_body(api: str, kind: str, status: int, facts: Facts, request_id: str, message: str | None = None) -> Json:
    """The body of an ordered error of this kind."""
    code = None
    if api.startswith("openai"):
        _, code, sentence = _OPENAI[kind]
    elif api == "anthropic-messages":
        _, sentence = _ANTHROPIC[kind]
    else:
        _, sentence = _GOOGLE[kind]
    sentence = sentence.format(model=facts.model, tokens=facts.tokens, window=facts.window)
    return _body(api, kind, status, message or sentence, None, code, request_id)


def _body(api: str, kind: str, status: int, message: str, param: str | None, code: str | None, request_id: str) -> Json:
    if api.startswith("openai"):
        return {"error": {"message": message, "type": _OPENAI[kind][0], "param": param, "code": code}}
    if api == "anthropic-messages":
        return {"type": "error", "error": {"type": _ANTHROPIC[kind][0], "message": message}, "request_id": request_id}
    error: Json = {"code": status, "message": message, "status": _GOOGLE[kind][0]}
    if kind == "authentication":
        error["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ]
    if kind in ("rate_limit", "quota"):
        per = "PerDay" if kind == "quota" else "PerMinute"
        error["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": f"GenerateRequests{per}PerProjectPerModel"}],
            }
        ]
    return {"error": error}


def error_event(api: str, body: Json, sequence: int) -> tuple[str | None, Json]:
    """An error in the middle of a stream: the event's name and its data."""
    if api == "openai-responses":
        error = body["error"]
        return "error", {
            "type": "error",
            "code": error["code"] or error["type"],
            "message": error["message"],
            "param": None,
            "sequence_number": sequence,
        }
    return ("error" if api == "anthropic-messages" else None), body


def request_headers(api: str, request_id: str, model: str) -> Json:
    """Headers that the real API sends beside every answer."""
    if api == "anthropic-messages":
        return {"request-id": request_id, "anthropic-organization-id": "simulator"}
    if api.startswith("openai"):
        return {"x-request-id": request_id, "openai-version": "2020-10-01", "openai-processing-ms": "1"}
    return {"server": "scaffolding on HTTPServer2", "x-joch-model": model} if model else {}
