"""What an error of OpenAI's Responses API, or of a server that imitates it, means. Whole bodies and stream events alike."""

from __future__ import annotations

from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import FaultKind, ProviderError

_CODES: dict[str, FaultKind] = {
    "context_length_exceeded": "context_length",
    "string_above_max_length": "context_length",
    "too_many_prompt_tokens": "context_length",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "tokens": "rate_limit",
    "requests": "rate_limit",
    "invalid_api_key": "authentication",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "model_not_found": "not_found",
    "DeploymentNotFound": "not_found",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "overloaded_error": "overloaded",
    "server_overloaded": "overloaded",
    "timeout": "timeout",
    "server_error": "server_error",
    "internal_server_error": "server_error",
}
_STATUSES: dict[int, FaultKind] = {
    400: "invalid_request", 401: "authentication", 402: "quota", 403: "permission", 404: "not_found", 408: "timeout",
    413: "context_length", 422: "invalid_request", 429: "rate_limit", 498: "overloaded", 503: "overloaded", 504: "timeout",
    524: "timeout", 529: "overloaded",
}  # fmt: skip
_LAST_SUCCESS = 299
_SERVER_ERROR = 500
_TOO_LONG = (
    "context length", "context window", "context_length", "prompt is too long", "prompt too long", "too many tokens",
    "maximum prompt length", "exceeds the available context", "exceeds the model's maximum", "max_seq_len",
)  # fmt: skip
_OUT_OF_MONEY = ("exceeded your current quota", "insufficient balance", "credit balance", "insufficient credits")
_WRONG_KEY = ("incorrect api key", "invalid api key", "no auth credentials")


def read_error(status: int, body: object) -> tuple[FaultKind, str | None, str]:
    """What an error body means: kind, vendor code, message. Status 0: it came inside an answer.

    Source: https://platform.openai.com/docs/guides/error-codes
    """
    code, kind, message, inner = _fields(body)
    if status <= _LAST_SUCCESS:
        status = inner
    found = _CODES.get(code or "") or _CODES.get(kind or "")
    by_status = _STATUSES.get(status, "server_error" if status >= _SERVER_ERROR else None)
    if found is None:
        found = by_status or ("invalid_request" if kind == "invalid_request_error" else "other")
    if found in ("invalid_request", "rate_limit", "server_error", "other"):
        lower = message.lower()
        if found != "rate_limit" and any(sign in lower for sign in _TOO_LONG):
            found = "context_length"
        elif any(sign in lower for sign in _OUT_OF_MONEY):
            found = "quota"
        elif found == "invalid_request" and any(sign in lower for sign in _WRONG_KEY):
            found = "authentication"
    return found, code or kind, message


def _fields(body: object) -> tuple[str | None, str | None, str, int]:
    """Code, type, message, and the HTTP status that some servers repeat in the body."""
    if not isinstance(body, dict):
        return None, None, body if isinstance(body, str) else "", 0
    error: Any = body.get("error")
    if not isinstance(error, dict):
        # `{"detail": …}` (FastAPI), `{"message": …}` (Mistral), `{"error": "…", "code": …}` (xAI)
        error = {**body, "message": error if isinstance(error, str) else body.get("message") or body.get("detail")}
    code, kind, message = error.get("code"), error.get("type"), error.get("message")
    number = error.get("status") if isinstance(error.get("status"), int) else code
    inner = int(number) if isinstance(number, int) or (isinstance(number, str) and number.isdecimal()) else 0
    return (
        str(code) if isinstance(code, str | int) and code != "" else None,
        kind if isinstance(kind, str) else None,
        message if isinstance(message, str) else "" if message is None else str(message)[:500],
        inner,
    )


def fault(body: object, target: Target) -> ProviderError:
    """An error that stands where an answer should be."""
    kind, code, message = read_error(0, body)
    text = message or "the provider reports an error"
    return ProviderError("server_error" if kind == "other" else kind, text, backend=target.backend, code=code)


def unreadable(message: str, target: Target) -> ProviderError:
    """An answer that is none of this format."""
    return ProviderError("server_error", f"unreadable answer: {message}", backend=target.backend, code="unreadable")
