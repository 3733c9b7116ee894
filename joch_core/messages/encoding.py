"""Spellings that every wire format shares: base64, data URLs, strict JSON objects, and named places in a body. No wire."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote_to_bytes

from joch_core.errors import InvalidArgument
from joch_core.messages.parts import Json

_URL_SAFE = str.maketrans("-_", "+/")


def encode_base64(data: bytes) -> str:
    """Bytes as standard base64 with padding, which every provider takes."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes of base64 in either alphabet, with or without padding and line breaks.

    Raises:
        ValueError: the text is no base64.
    """
    plain = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise ValueError(f"not base64: {error}") from None


def data_url(media_type: str, data: bytes) -> str:
    """Bytes as a `data:` URL."""
    return f"data:{media_type};base64,{encode_base64(data)}"


def read_data_url(url: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a `data:` URL; None if it is another kind of URL.

    Raises:
        ValueError: it is a `data:` URL, but a broken one.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, body = url[5:].partition(",")
    if not comma:
        raise ValueError("a data URL has a comma before its data")
    media_type, *options = head.split(";")
    data = decode_base64(body) if "base64" in options else unquote_to_bytes(body)
    return media_type or "text/plain", data


def json_object(text: str) -> Json:
    """The JSON object in the arguments of a tool call; empty text counts as `{}`, since a call without arguments is one.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, not {type(value).__name__}")  # noqa: TRY004  a fault of the text
    return value


def compact_json(value: Any) -> str:
    """JSON without spaces and with UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def merge_fields(body: Json, fields: Json) -> None:
    """Put extra fields into a body, objects into objects, so that one extra knob does not wipe out its neighbours."""
    for name, value in fields.items():
        present = body.get(name)
        if isinstance(present, dict) and isinstance(value, dict):
            body[name] = merged = dict(present)
            merge_fields(merged, value)
        else:
            body[name] = value


def expect_object(value: Any, place: str) -> Json:
    """The value, which must be an object.

    Raises:
        InvalidArgument: it is none; names the place.
    """
    if isinstance(value, dict):
        return value
    raise InvalidArgument(f"{place} must be an object, not {_kind(value)}")


def expect_list(value: Any, place: str) -> list[Any]:
    """The value, which must be a list.

    Raises:
        InvalidArgument: it is none; names the place.
    """
    if isinstance(value, list):
        return value
    raise InvalidArgument(f"{place} must be a list, not {_kind(value)}")


def expect_text(value: Any, place: str) -> str:
    """The value, which must be a string.

    Raises:
        InvalidArgument: it is none; names the place.
    """
    if isinstance(value, str):
        return value
    raise InvalidArgument(f"{place} must be a string, not {_kind(value)}")


def expect_bytes(value: Any, place: str) -> bytes:
    """The bytes of a base64 string.

    Raises:
        InvalidArgument: it is none; names the place.
    """
    try:
        return decode_base64(expect_text(value, place))
    except ValueError as error:
        raise InvalidArgument(f"{place} is {error}") from None


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
