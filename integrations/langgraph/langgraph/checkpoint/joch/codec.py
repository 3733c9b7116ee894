"""From values to what the shelf stores, and back. Knows the serialiser and the memory; does no I/O but for a thread's secret."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.joch.items import Blob, Memory, Place, Track, add_item, encode, is_worth_splitting
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from joch_core import GraphItems, StoreError, Threads

Content = Blob | GraphItems
_ARRAY_16, _ARRAY_32 = 0xDC, 0xDD


@dataclass(slots=True)
class Change:
    """What a checkpoint changes, ready for the shelf, and what to remember once it is there."""

    contents: dict[str, Content] = field(default_factory=dict)
    items: dict[bytes, Blob] = field(default_factory=dict)
    tracks: dict[Place, Track] = field(default_factory=dict)
    touched: Sequence[int] = ()


def _array(parts: Sequence[bytes]) -> bytes:
    """Packed values as one packed list (https://github.com/msgpack/msgpack/blob/master/spec.md#array-format-family)."""
    count = len(parts)
    if count < 16:  # noqa: PLR2004  # the sizes of the format
        header = bytes([0x90 | count])
    elif count < 1 << 16:
        header = bytes([_ARRAY_16]) + count.to_bytes(2, "big")
    else:
        header = bytes([_ARRAY_32]) + count.to_bytes(4, "big")
    return header + b"".join(parts)


class Codec:
    """One serialiser over one memory."""

    def __init__(self, serde: SerializerProtocol, memory: Memory) -> None:
        self._serde = serde
        self._cipher = serde.cipher if isinstance(serde, EncryptedSerializer) else None
        self._inner = serde.serde if isinstance(serde, EncryptedSerializer) else serde
        self._memory = memory

    # -------------------------------------------------------------------------------------------------------- writing
    def key(self, thread: str, threads: Threads) -> bytes:
        """The key of the digests of a thread: secret where values are encrypted, since a bare hash tells what is equal."""
        if self._cipher is None:
            return b""
        found = self._memory.secret(thread)
        if found is None:
            found = self.load(threads.secret(thread, self.dump(secrets.token_bytes(32))))
            self._memory.keep_secret(thread, found)
        return bytes(found)

    def dump(self, value: Any) -> Blob:
        """A value as it is stored."""
        return self._dump_item(value)[0]

    def _dump_item(self, value: Any) -> tuple[Blob, bytes]:
        kind, plain = self._inner.dumps_typed(value)
        if self._cipher is None:
            return (kind, plain), plain
        cipher, data = self._cipher.encrypt(plain)
        return (f"{kind}+{cipher}", data), plain

    def content(self, value: Any, items: dict[bytes, Blob], key: bytes) -> Content:
        """A written value: lists and messages by their items, which are the same that the checkpoint will have."""
        if is_worth_splitting(value):
            return GraphItems([add_item(one, items, key, self._dump_item)[0] for one in value])
        if isinstance(value, BaseMessage):
            return GraphItems([add_item(value, items, key, self._dump_item)[0]], "one")
        return self.dump(value)

    def change(
        self, thread: str, lane: str, values: Mapping[str, Any], versions: Mapping[str, str | int | float], key: bytes
    ) -> Change:
        """The changed channels of a checkpoint; lists as changes of those that this process knows."""
        touched = self._memory.touched(thread, lane)
        change = Change(touched=tuple(touched))
        for channel, value in values.items():
            shape: Literal["list", "delta"] = "delta" if isinstance(value, _DeltaSnapshot) else "list"
            inner = value.value if isinstance(value, _DeltaSnapshot) else value
            if not is_worth_splitting(inner):
                change.contents[channel] = self.content(value, change.items, key)
                continue
            place = (thread, lane, channel)
            done = encode(inner, self._memory.tracks(place), touched, key, self._dump_item)
            change.items.update(done.items)
            change.contents[channel] = GraphItems(done.digests, shape, done.base, done.keep)
            change.tracks[place] = done.track(str(versions[channel]))
        return change

    # -------------------------------------------------------------------------------------------------------- reading
    def load(self, blob: Blob) -> Any:
        """A stored value.

        Raises:
            StoreError: the saver encrypts, and the row is not encrypted.
        """
        if self._cipher is not None and "+" not in blob[0]:
            raise StoreError(
                "the saver encrypts, but a stored row is plain text; it was not read, since nobody vouches for it"
            )
        return self._serde.loads_typed(blob)

    def load_content(self, content: Content, items: Mapping[bytes, Blob]) -> Any:
        """A stored value that may be made of items."""
        if not isinstance(content, GraphItems):
            return self.load(content)
        values = self._load_items(content.digests, items)
        match content.shape:
            case "one":
                return values[0]
            case "delta":
                return _DeltaSnapshot(values)
            case "list":
                return values

    def load_channel(self, place: Place, version: str, content: Content, items: Mapping[bytes, Blob]) -> Any:
        """The value of a channel that a run may go on from: its list is remembered, so that the next one can build on it."""
        value = self.load_content(content, items)
        if isinstance(content, GraphItems) and content.shape == "list":
            track = Track(version, tuple(value), (None,) * len(value), content.digests)
            self._memory.note(place, track, written=False)
        return value

    def _load_items(self, digests: Sequence[bytes], items: Mapping[bytes, Blob]) -> list[Any]:
        blobs = [items[digest] for digest in digests]
        if self._cipher is None and all(kind == "msgpack" for kind, _ in blobs):
            values: list[Any] = self.load(("msgpack", _array([data for _, data in blobs])))
            return values
        return [self.load(blob) for blob in blobs]
