"""The simulator without its sockets: takes one HTTP request, gives the answer and how it is to be sent. Thread-safe.

Order of things, as at a real provider: path, key, body, model, ordered fault, strict check, window, answer.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

from joch_core.messages import Json
from joch_core.testing import chat, errors, generate, messages, models, responses, strict
from joch_core.testing.behaviour import Question, answer
from joch_core.testing.errors import Facts, Rejection
from joch_core.testing.faults import Fault, Faults, ModelName, as_stream, model_name, retry_headers
from joch_core.testing.journal import Journal
from joch_core.testing.script import Scripts, Turn, as_json
from joch_core.testing.stored import Stored
from joch_core.testing.tokens import Ids

FORMATS: dict[str, ModuleType] = {module.API: module for module in (chat, responses, messages, generate)}
PROVIDERS = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "anthropic-messages": "anthropic",
    "gemini-generate": "google",
}

#: What may stand before a path of OpenAI: a version, and at Azure `/openai`.
_OPENAI = r"(?:/v1)?(?:/openai)?(?:/v1)?"
_ROUTES = tuple(
    (re.compile(pattern), api, action)
    for pattern, api, action in (
        (rf"{_OPENAI}(?:/deployments/(?P<model>[^/]+))?/chat/completions", "openai-chat", "answer"),
        (rf"{_OPENAI}/responses", "openai-responses", "answer"),
        (rf"{_OPENAI}/responses/input_tokens", "openai-responses", "count"),
        (rf"{_OPENAI}/responses/(?P<id>[^/]+)(?P<items>/input_items)?", "openai-responses", "stored"),
        (r"(?:/v1)?/messages", "anthropic-messages", "answer"),
        (r"(?:/v1)?/messages/count_tokens", "anthropic-messages", "count"),
        (r"(?:/v1|/v1beta\d*)?(?:/.*)?/models/(?P<model>.+):(?P<verb>generateContent|streamGenerateContent|countTokens)",
         "gemini-generate", "answer"),
    )
)  # fmt: skip
_PREFIX = re.compile(r"/p/(?P<provider>[^/]+)(?P<rest>/.*)")


@dataclass(slots=True)
class Request:
    """One HTTP request. Header names are in lower case; `target` is the path with its query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Answer:
    """What is to be sent: a status, headers, and a body in pieces (a stream has many). The fault says how it goes wrong."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]
    stream: bool = False
    fault: Fault | None = None


@dataclass(slots=True)
class _Visit:
    """What is known of a request while it is answered."""

    api: str
    provider: str
    request_id: str
    model: ModelName = field(default_factory=lambda: model_name(""))
    body: Any = None
    stream: bool = False
    fault: Fault | None = None
    turn: Turn | None = None


class _Refused(Exception):
    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


class Desk:
    """Everything that a running simulator knows."""

    def __init__(self, windows: Mapping[str, int] | None = None, tokens: Literal["issued", "any"] = "issued") -> None:
        self.ids = Ids("joch")
        self.tokens = tokens
        self.journal = Journal()
        self.scripts = Scripts()
        self.faults = Faults()
        self.stored = Stored()
        self.windows: dict[str, int] = dict(windows or {})
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Answer:
        """Answer one request to a provider's path."""
        url = urlsplit(request.target)
        prefixed = _PREFIX.fullmatch(url.path)
        path = prefixed["rest"] if prefixed else url.path
        for pattern, api, action in _ROUTES:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            named = found.groupdict()
            with self._lock:
                request_id = self.ids.new("req_", 24)
            visit = _Visit(api, prefixed["provider"] if prefixed else PROVIDERS[api], request_id)
            result, error = self._answered(visit, action, request, named, parse_qs(url.query))
            self.journal.write(
                request.headers,
                provider=visit.provider,
                api=visit.api,
                method=request.method,
                path=url.path,
                model=visit.model.full,
                body=visit.body,
                status=result.status,
                stream=visit.stream,
                fault=str(visit.fault) if visit.fault else None,
                error=error,
                answer=as_json(visit.turn) if visit.turn else {},
            )
            return result
        return _json(404, {"error": {"message": f"no such path: {request.method} {path}", "type": "invalid_request_error"}})

    def _answered(
        self, visit: _Visit, action: str, request: Request, named: Mapping[str, str | None], query: Mapping[str, list[str]]
    ) -> tuple[Answer, str | None]:
        try:
            return self._dispatch(visit, action, request, named, query), None
        except _Refused as refused:
            why = refused.rejection
            body = errors.error_body(visit.api, why, visit.request_id)
            headers = errors.request_headers(visit.api, visit.request_id, visit.model.base)
            return _json(why.status, body, headers), why.message

    def _dispatch(
        self, visit: _Visit, action: str, request: Request, named: Mapping[str, str | None], query: Mapping[str, list[str]]
    ) -> Answer:
        self._key(visit, request, query)
        if action == "stored":
            return self._stored(visit, request.method, str(named["id"]), items=bool(named["items"]))
        if request.method != "POST":
            raise _Refused(Rejection(f"Not allowed to {request.method} on this path.", status=405))
        body = self._body(visit, request)
        verb = named.get("verb")
        visit.stream = verb == "streamGenerateContent" or (verb is None and body.get("stream") is True)
        full = named.get("model") or body.get("model") or ""
        visit.model = model_name(unquote(str(full)))
        visit.fault = self.faults.strike((visit.provider, visit.api), visit.model)
        if visit.fault is not None:
            visit.fault = as_stream(visit.fault, stream=visit.stream)
            if visit.fault.mode == "fail":
                return self._failed(visit, visit.fault)
        counts = action == "count" or verb == "countTokens"
        return self._counted(visit, body) if counts else self._spoken(visit, body, query)

    def _key(self, visit: _Visit, request: Request, query: Mapping[str, list[str]]) -> None:
        names = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
        key = next((request.headers[name] for name in names if request.headers.get(name)), "") or "".join(
            query.get("key", ())
        )
        if not key.removeprefix("Bearer").strip() or "invalid" in key:
            facts = errors.fault_body(visit.api, "authentication", 401, Facts(), visit.request_id)["error"]
            raise _Refused(Rejection(facts["message"], code="invalid_api_key", kind="authentication", status=401))
        if visit.api == "anthropic-messages" and "anthropic-version" not in request.headers:
            raise _Refused(Rejection("anthropic-version: header is required"))

    def _body(self, visit: _Visit, request: Request) -> Json:
        try:
            body = json.loads(request.body)
        except ValueError:
            raise _Refused(Rejection("We could not parse the JSON body of your request.")) from None
        if not isinstance(body, dict):
            raise _Refused(Rejection("The JSON body of your request is not an object."))
        visit.body = body
        return cast("Json", body)

    def _failed(self, visit: _Visit, fault: Fault) -> Answer:
        facts = Facts(visit.model.base, 999_999, self._window(visit.model) or 200_000)
        body = errors.fault_body(visit.api, fault.error_kind, fault.http_status, facts, visit.request_id, fault.message)
        headers = errors.request_headers(visit.api, visit.request_id, visit.model.base) | retry_headers(fault)
        return Answer(fault.http_status, headers, [_dumped(body)], fault=fault)

    def _window(self, model: ModelName) -> int | None:
        if model.window is not None:
            return model.window
        if model.base in self.windows:
            return self.windows[model.base]
        return models.window(model.base)

    def _question(self, visit: _Visit, body: Json) -> tuple[Json, Question]:
        """The checked body (with the items of a previous response) and how the model reads it."""
        model = visit.model.base
        body = generate.normal(body) if visit.api == "gemini-generate" else dict(body)
        body["model"] = "+".join((model, *sorted(visit.model.flags)))
        if visit.api == "openai-responses":
            body = self.stored.joined(body, _Refused)
        checked = {key: value for key, value in body.items() if key != "previous_response_id"}
        found = strict.rejections(_rules(visit), checked, tokens=self.tokens, window=self._window(visit.model))
        if found:
            raise _Refused(found[0])
        try:
            question = FORMATS[visit.api].read(body, model)
        except (KeyError, TypeError, AttributeError, IndexError):
            raise _Refused(Rejection("Input does not match the expected shape.")) from None
        return body, question

    def _counted(self, visit: _Visit, body: Json) -> Answer:
        if visit.api == "gemini-generate":
            return _json(200, {"totalTokens": generate.count(generate.normal(body))})
        if visit.api == "anthropic-messages":
            _, question = self._question(visit, {"max_tokens": 1, **body})
            return _json(200, {"input_tokens": question.input_tokens})
        _, question = self._question(visit, body)
        return _json(200, {"object": "response.input_tokens", "input_tokens": question.input_tokens})

    def _spoken(self, visit: _Visit, body: Json, query: Mapping[str, list[str]]) -> Answer:
        asked, question = self._question(visit, body)
        scripted = self.scripts.take((visit.provider, visit.api), visit.model.base, question.user_text)
        turn = visit.turn = answer(question) if scripted is None else scripted
        form = FORMATS[visit.api]
        headers = errors.request_headers(visit.api, visit.request_id, visit.model.base)
        now = int(time.time())
        if not visit.stream:
            with self._lock:
                done = form.whole(turn, question, asked, self.ids, now)
            self._keep(visit, asked, done)
            return Answer(200, {"content-type": "application/json"} | headers, [_dumped(done)], fault=visit.fault)
        with self._lock:
            events = list(form.events(turn, question, asked, self.ids, now))
        if visit.api == "openai-responses":
            self._keep(visit, asked, events[-1][1]["response"])
        headers["content-type"] = "text/event-stream; charset=utf-8"
        if visit.api == "gemini-generate" and query.get("alt") != ["sse"]:
            headers["content-type"] = "application/json; charset=UTF-8"
            listed = [_dumped(data) for _, data in events]
            pieces = [(b"[" if index == 0 else b",\r\n") + piece for index, piece in enumerate(listed)]
            return Answer(200, headers, [*pieces, b"]"], stream=True, fault=visit.fault)
        pieces = [_event(name, data) for name, data in events]
        return Answer(200, headers, self._spoilt(visit, pieces), stream=True, fault=visit.fault)

    def _spoilt(self, visit: _Visit, pieces: list[bytes]) -> list[bytes]:
        """The events of a stream with what an ordered fault does to their content."""
        fault = visit.fault
        match fault.mode if fault is not None else None:
            case "truncate":
                return pieces[: fault.after] if fault else pieces
            case "empty":
                return []
            case "malformed" if fault is not None:
                name = pieces[0].partition(b"data:")[0]
                return [*pieces[: fault.after], name + b'data: {"id": "broken\n\n', *pieces[fault.after :]]
            case "error_event" if fault is not None:
                kind = fault.error_kind if fault.kind or fault.status else "overloaded"
                status = fault.status or 503
                body = errors.fault_body(visit.api, kind, status, Facts(visit.model.base), visit.request_id, fault.message)
                name_of, data = errors.error_event(visit.api, body, fault.after)
                return [*pieces[: fault.after], _event(name_of, data)]
        return pieces

    def _keep(self, visit: _Visit, asked: Json, done: Json) -> None:
        if visit.api == "openai-responses":
            self.stored.keep(asked, done)

    def _stored(self, visit: _Visit, method: str, identifier: str, *, items: bool) -> Answer:
        response = self.stored.get(identifier)
        if response is None:
            raise _Refused(Rejection(f"Response with id '{identifier}' not found.", kind="not_found", status=404))
        visit.model = model_name(response["model"])
        if method == "DELETE":
            self.stored.drop(identifier)
            return _json(200, {"id": identifier, "object": "response", "deleted": True})
        if items:
            return _json(200, {"object": "list", "data": self.stored.asked(identifier), "has_more": False})
        return _json(200, response)


def _rules(visit: _Visit) -> str:
    """Which rules hold: those of OpenAI for OpenAI and Azure, else those of servers that speak its formats."""
    if visit.provider in ("openai", "azure", "azure-openai") or not visit.api.startswith("openai"):
        return visit.api
    return "generic-openai" if visit.api == "openai-chat" else "generic-openai-responses"


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"content-type": "application/json"} | dict(headers or {}), [_dumped(value)])


def _event(name: str | None, data: Json | str) -> bytes:
    body = data.encode() if isinstance(data, str) else _dumped(data)
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + body + b"\n\n"
