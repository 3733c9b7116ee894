"""Whatever a provider's SDK or transport raises, as one typed `ProviderError` with a redacted message.

SDK exceptions are known by status and by the names of their classes, not by import: the SDKs differ between major
versions, and transport errors escape their trees (httpx, httpx2 and aiohttp, depending on what is installed).
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from joch_core.capabilities import Target
from joch_core.errors import FaultKind, InvalidArgument, JochError, ProviderError
from joch_core.redaction import redact
from joch_core.wire import Wire

_TIMEOUTS = {"APITimeoutError", "ReadTimeout", "WriteTimeout", "PoolTimeout", "TimeoutError", "ServerTimeoutError"}
#: The request never left: nothing can have been billed.
_NOT_SENT = {
    "ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError", "gaierror", "ConnectionTimeoutError",
}  # fmt: skip
_CONNECTIONS = {
    "APIConnectionError", "NetworkError", "ReadError", "WriteError", "CloseError", "ProtocolError", "RemoteProtocolError",
    "LocalProtocolError", "TransportError", "ClientError", "ClientOSError", "ServerDisconnectedError", "ClientPayloadError",
    "ConnectionError", "OSError", "DecodingError", "StreamError", "RequestError",
}  # fmt: skip
#: The cloud's own tools have left no credentials on this machine, or stale ones.
_NO_CREDENTIALS = {"DefaultCredentialsError", "RefreshError", "NoCredentialsError", "PartialCredentialsError"}
_MESSAGE_CHARS = 1_000
#: Statuses that mean the same everywhere, whatever the body's own word is: the providers have seven for these.
_CLEAR_STATUSES: Mapping[int, FaultKind] = {
    402: "quota", 408: "timeout", 409: "other", 413: "context_length", 502: "server_error", 503: "overloaded", 504: "timeout",
    529: "overloaded",
}  # fmt: skip


def status_fault(
    wire: Wire, target: Target, status: int, headers: Mapping[str, str], text: str, secret: str | None = None
) -> ProviderError:
    """The fault that an HTTP error answer means."""
    body: object = text
    with contextlib.suppress(ValueError):
        body = json.loads(text)
    kind, code, message = wire.read_error(status, body)
    return ProviderError(
        _CLEAR_STATUSES.get(status, kind),
        redact(message or f"HTTP status {status}", secret)[:_MESSAGE_CHARS],
        backend=target.backend,
        status=status,
        code=None if code is None else redact(str(code), secret),
        retry_after_s=retry_after_s(headers, body),
    )


def exception_fault(wire: Wire, target: Target, error: Exception, secret: str | None = None) -> JochError:
    """The fault that an exception of an SDK or its transport means."""
    match error:
        case ProviderError():
            # It may stand in a stream and repeat what it was sent.
            error.args = (redact(error.message, secret)[:_MESSAGE_CHARS],)
            error.backend = error.backend or target.backend
            return error
        case InvalidArgument():
            # No SDK, or no place to send to: another candidate may have both.
            return not_set_up(target, error)
        case JochError():
            return error
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if response is not None and isinstance(status, int):
        return status_fault(wire, target, status, response.headers, response.text, secret)
    chain = list(_chain(error))
    names = {cls.__name__ for link in chain for cls in type(link).__mro__}
    message = redact(str(chain[-1]) or type(chain[-1]).__name__, secret)[:_MESSAGE_CHARS]
    if names & {"SSLCertVerificationError", "CertificateError"} or "CERTIFICATE_VERIFY_FAILED" in message:
        # A wrong certificate is a wrong configuration or an attack: nothing else may be tried in its place.
        return ProviderError("connection", message, backend=target.backend, code="certificate", sent=False, retryable=False)
    if names & _NO_CREDENTIALS:
        return ProviderError("authentication", message, backend=target.backend, code="no_key", sent=False, retryable=False)
    if names & _NOT_SENT:
        kind: FaultKind = "connection"
        return ProviderError(kind, f"cannot connect: {message}", backend=target.backend, code="connect", sent=False)
    if names & _TIMEOUTS:
        return ProviderError("timeout", f"no answer in time ({message})", backend=target.backend, code="timeout")
    if "JSONDecodeError" in names or "UnknownApiResponseError" in names:
        return ProviderError("server_error", f"unreadable answer: {message}", backend=target.backend, code="unreadable")
    if names & _CONNECTIONS:
        return ProviderError("connection", f"the connection broke: {message}", backend=target.backend, code="reset")
    return ProviderError("other", f"{type(error).__name__}: {message}", backend=target.backend)


def not_set_up(target: Target, error: InvalidArgument) -> ProviderError:
    """A backend that cannot be asked from here: its SDK is not installed, or its place is not known."""
    return ProviderError("other", error.message, backend=target.backend, code="not_set_up", sent=False, retryable=False)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def retry_after_s(headers: Mapping[str, str], body: object = None) -> float | None:
    """How long the provider asks to wait, in seconds: `retry-after-ms`, `retry-after` (seconds or a date), Google's RetryInfo."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return seconds
    if value and (date := email.utils.parsedate_tz(value)):
        return max(0.0, email.utils.mktime_tz(date) - time.time())
    first = body[0] if isinstance(body, list) and body else body  # Gemini's streams put an error into a list
    error: Any = first.get("error") if isinstance(first, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        # https://cloud.google.com/apis/design/errors#error_details: {"@type": "…RetryInfo", "retryDelay": "12s"}
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (seconds := _number(delay.removesuffix("s"))) is not None:
            return seconds
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and number >= 0 else None
