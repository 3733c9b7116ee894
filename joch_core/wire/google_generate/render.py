"""Canonical request → the body of generateContent. Spells what the projection has let through; decides nothing."""

from __future__ import annotations

from mimetypes import guess_type
from urllib.parse import urlsplit

from joch_core.capabilities import Target
from joch_core.messages import (
    Audio,
    File,
    Image,
    Json,
    Message,
    ModelRequest,
    Native,
    Other,
    Part,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)
from joch_core.messages.encoding import encode_base64, merge_fields, read_data_url
from joch_core.wire.google_generate.options import spell_config, spell_tools
from joch_core.wire.google_generate.parts import API, response_text

#: What Google documents for calls that another model made:
#: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
_NO_SIGNATURE = "skip_thought_signature_validator"


def render(request: ModelRequest, target: Target, *, stream: bool) -> Json:  # noqa: ARG001  the path says it
    """The request body. The model and whether it streams are in the path."""
    body: Json = {"contents": _contents(request.messages)}
    if target.dialect.thought_signatures:
        _sign(body["contents"])
    system = [_part(part) for message in request.messages if message.role == "system" for part in message.parts]
    if instruction := [part for part in system if part is not None]:
        body["systemInstruction"] = {"parts": instruction}
    native = dict(_own(request.native))
    if request.native is not None and request.native.origin != target.origin:
        native.pop("cachedContent", None)  # it lives at one project only
    spell_tools(body, request, target, native)
    if config := spell_config(request, target, native):
        body["generationConfig"] = config
    for name, value in native.items():
        if name not in ("toolConfig", "generationConfig"):
            body.setdefault(name, value)
    for name in (target.provider, target.api):
        if fields := request.extra.get(name):
            merge_fields(body, fields)
    return body


# ----------------------------------------------------------------------------------------------------- contents
def _contents(messages: tuple[Message, ...]) -> list[Json]:
    """Turns. All responses to one turn's calls stand in one content of their own, in the order of the calls.

    `number of function response parts is equal to the number of function call parts` is what Gemini says otherwise.
    """
    calls = {part.id: part for message in messages for part in message.parts if isinstance(part, ToolCall)}
    order = {identity: number for number, identity in enumerate(calls)}
    contents: list[Json] = []
    results: list[ToolResult] = []
    others: list[Json] = []

    def user_turn() -> None:
        if any(not _call_id(calls.get(result.call_id)) for result in results):
            results.sort(key=lambda result: order.get(result.call_id, len(order)))  # without ids the order pairs them
        spoken = ([_response(result, calls) for result in results], list(others))
        contents.extend({"role": "user", "parts": parts} for parts in spoken if parts)
        results.clear()
        others.clear()

    for message in messages:
        if message.role == "system":
            continue
        spelled = [part for item in message.parts if not isinstance(item, ToolResult) and (part := _part(item)) is not None]
        if message.role != "assistant":
            results += message.tool_results
            others += spelled
        elif spelled:
            user_turn()
            if contents and contents[-1]["role"] == "model":
                contents[-1]["parts"] += spelled
            else:
                contents.append({"role": "model", "parts": spelled})
    user_turn()
    return contents


def _sign(contents: list[Json]) -> None:
    """In the current turn, the first call of every step needs a signature."""
    for content in reversed(contents):
        parts = content["parts"]
        if content["role"] == "user" and not any("functionResponse" in part for part in parts):
            return
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and not first.get("thoughtSignature"):
            first["thoughtSignature"] = _NO_SIGNATURE


def _own(native: Native | None) -> Json:
    return native.data if native is not None and native.api == API else {}


def _call_id(call: ToolCall | None) -> str:
    return str(_own(call.native).get("id") or "") if call is not None else ""


def _part(part: Part) -> Json | None:
    match part:
        case Text(text=text):
            own = _own(part.native)
            return {"text": text, **own} if text or own else None
        case ToolCall():
            return _call(part)
        case Reasoning() | ServerTool() | Other():
            return dict(_own(part.native)) or None
        case Image() | Audio() | File():
            return _media(part)
    return None


def _call(call: ToolCall) -> Json:
    own = dict(_own(call.native))
    native_id = own.pop("id", "")
    spelled: Json = {"name": call.name, "args": call.args, **own.pop("functionCall", {})}
    if native_id:  # ids are optional, and older Vertex endpoints do not know them: none is made up
        spelled["id"] = native_id
    return {**own, "functionCall": spelled}


def _response(result: ToolResult, calls: dict[str, ToolCall]) -> Json:
    own = dict(_own(result.native))
    call = calls.get(result.call_id)
    own_id, raw = own.pop("id", ""), own.pop("response", None)
    native_id = _call_id(call) if call is not None else own_id
    text = result.text
    unchanged = raw is not None and response_text(raw) == text
    response = raw if unchanged else {"error" if result.error else "output": text}
    spelled: Json = {"name": result.name or (call.name if call is not None else result.call_id), "response": response}
    if native_id:
        spelled["id"] = native_id
    media = [_media(item) for item in result.content if isinstance(item, Image | Audio | File)]
    if parts := [part for part in media if part is not None]:
        spelled["parts"] = parts
    spelled.update(own.pop("functionResponse", {}))
    return {**own, "functionResponse": spelled}


def _media(part: Image | Audio | File) -> Json | None:
    own = dict(_own(part.native))
    blob, given = own.pop("inlineData", {}), own.pop("fileData", {})
    data, media_type, url = part.data, part.media_type, part.url
    if data is None and url is not None and (inline := _inline_url(url)) is not None:
        media_type, data = inline
    if data is not None:
        return {
            "inlineData": {"mimeType": media_type or _DEFAULT_TYPES[part.type], "data": encode_base64(data), **blob},
            **own,
        }
    address = url or (part.file_id if isinstance(part, File) else None)
    if address is None:
        return None
    if media_type is None and isinstance(part, Image):
        media_type = guess_type(urlsplit(address).path)[0] or _DEFAULT_TYPES["image"]  # a bare address is taken for a video
    return {"fileData": {"fileUri": address, **({"mimeType": media_type} if media_type else {}), **given}, **own}


_DEFAULT_TYPES = {"image": "image/png", "audio": "audio/wav", "file": "application/pdf"}


def _inline_url(url: str) -> tuple[str, bytes] | None:
    try:
        return read_data_url(url)
    except ValueError:
        return None
