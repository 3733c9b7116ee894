"""From values to what the shelf stores, and back. Knows the serialiser, the vault and the memory; does no I/O but for a secret.

Every value that is stored belongs to a place (`Where`), to which the vault binds it if there is one: a body, the metadata, a
version of a channel, an item of a thread, a write of a task.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base import CheckpointMetadata
from langgraph.checkpoint.joch.items import (
    Blob,
    Dump,
    Memory,
    Place,
    Touched,
    Track,
    add_item,
    encode,
    is_worth_splitting,
)
from langgraph.checkpoint.joch.vault import Vault, Where, is_sealed
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from joch_core import GraphCheckpoint, GraphItems, GraphWrite, StoreError, Threads

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


def _body_at(thread: str, snapshot: GraphCheckpoint) -> Where:
    """A body vouches for the columns beside it: the parent, and which version each channel has."""
    beside = json.dumps([snapshot.parent, dict(snapshot.versions), list(snapshot.nulls)], sort_keys=True)
    return ("checkpoint", thread, snapshot.lane, snapshot.checkpoint, beside)


def _metadata_at(thread: str, snapshot: GraphCheckpoint) -> Where:
    return ("metadata", thread, snapshot.lane, snapshot.checkpoint)


def _version_at(thread: str, lane: str, channel: str, version: object) -> Where:
    return ("channel", thread, lane, channel, str(version))


def write_at(thread: str, lane: str, checkpoint: str, write: tuple[str, int, str, str]) -> Where:
    """The place of a write: task, position, path and channel within a checkpoint."""
    return ("write", thread, lane, checkpoint, *map(str, write))


class Codec:
    """One serialiser and perhaps one vault over one memory."""

    def __init__(self, serde: SerializerProtocol, memory: Memory, vault: Vault | None = None) -> None:
        self._serde = serde
        self._cipher = serde.cipher if isinstance(serde, EncryptedSerializer) else None
        self._inner = serde.serde if isinstance(serde, EncryptedSerializer) else serde
        self._memory = memory
        self._vault = vault

    # -------------------------------------------------------------------------------------------------------- writing
    def dumper(self, thread: str, threads: Threads) -> Dump:
        """How the items of a thread are stored. The key of their digests is secret where values are encrypted."""
        if self._vault is not None:
            vault = self._vault
            return Dump(
                vault.digest_key(thread),
                self._inner.dumps_typed,
                lambda blob, digest: vault.encrypt(blob, ("item", thread, digest.hex())),
            )
        if self._cipher is None:
            return Dump(b"", self._inner.dumps_typed, lambda blob, _: blob)
        found = self._memory.secret(thread)
        if found is None:
            found = self._load(threads.secret(thread, self._dump(secrets.token_bytes(32), ("secret", thread))), ())
            self._memory.keep_secret(thread, found)
        return Dump(bytes(found), self._inner.dumps_typed, lambda blob, _: self._encrypted(blob))

    def _encrypted(self, blob: Blob) -> Blob:
        if self._cipher is None:
            return blob
        cipher, data = self._cipher.encrypt(blob[1])
        return f"{blob[0]}+{cipher}", data

    def _dump(self, value: Any, where: Where, *, squeeze: bool = False) -> Blob:
        blob = self._inner.dumps_typed(value)
        return self._encrypted(blob) if self._vault is None else self._vault.encrypt(blob, where, squeeze=squeeze)

    def snapshot(self, thread: str, bare: GraphCheckpoint, body: Any, about: Any) -> GraphCheckpoint:
        """A checkpoint with its body and its metadata."""
        return GraphCheckpoint(
            bare.lane, bare.checkpoint, bare.parent, bare.versions,
            self._dump(body, _body_at(thread, bare), squeeze=True),  # a body holds ids and versions, and no text of a user
            self._dump(about, _metadata_at(thread, bare)),
            bare.nulls, bare.run,
        )  # fmt: skip

    def _sealed(self, digests: list[bytes], where: Where, shape: str) -> list[bytes]:
        """Digests as they are stored: with their seal behind them, where there is a vault."""
        return digests if self._vault is None else [*digests, self._vault.seal(digests, (*where, shape))]

    def write(self, value: Any, where: Where, items: dict[bytes, Blob], dump: Dump, seen: dict[int, Touched]) -> Content:
        """A written value: lists and messages by their items, which are the same that the checkpoint will have."""
        if is_worth_splitting(value):
            return GraphItems(self._sealed([add_item(one, items, dump, seen)[0] for one in value], where, "list"))
        if isinstance(value, BaseMessage):
            return GraphItems(self._sealed([add_item(value, items, dump, seen)[0]], where, "one"), "one")
        return self._dump(value, where)

    def change(
        self, thread: str, lane: str, values: Mapping[str, Any], versions: Mapping[str, str | int | float], dump: Dump
    ) -> Change:
        """The changed channels of a checkpoint; lists as changes of those that this process knows."""
        touched = self._memory.touched(thread, lane)
        change = Change(touched=tuple(touched))
        for channel, value in values.items():
            shape: Literal["list", "delta"] = "delta" if isinstance(value, _DeltaSnapshot) else "list"
            inner = value.value if isinstance(value, _DeltaSnapshot) else value
            where = _version_at(thread, lane, channel, versions[channel])
            if not is_worth_splitting(inner):
                change.contents[channel] = self.write(value, where, change.items, dump, touched)
                continue
            place = (thread, lane, channel)
            done = encode(inner, self._memory.tracks(place), touched, dump)
            change.items.update(done.items)
            change.contents[channel] = GraphItems(self._sealed(done.digests, where, shape), shape, done.base, done.keep)
            change.tracks[place] = done.track(str(versions[channel]))
        return change

    # -------------------------------------------------------------------------------------------------------- reading
    def _load(self, blob: Blob, where: Where) -> Any:
        """A stored value.

        Raises:
            StoreError: the saver encrypts and the row is not encrypted, or the other way round.
        """
        if self._vault is not None:
            return self._inner.loads_typed(self._vault.decrypt(blob, where))
        if self._cipher is not None and "+" not in blob[0]:
            raise StoreError(
                "the saver encrypts, but a stored row is plain text; it was not read, since nobody vouches for it"
            )
        if is_sealed(blob[0]):
            raise StoreError("the thread is encrypted; give the saver its key, for instance JochSaver(encrypt='env:NAME')")
        return self._serde.loads_typed(blob)

    def body(self, thread: str, snapshot: GraphCheckpoint) -> dict[str, Any]:
        """What a checkpoint says beside its channels."""
        return cast("dict[str, Any]", self._load(snapshot.body, _body_at(thread, snapshot)))

    def metadata(self, thread: str, snapshot: GraphCheckpoint) -> CheckpointMetadata:
        """The metadata of a checkpoint."""
        return cast("CheckpointMetadata", self._load(snapshot.metadata, _metadata_at(thread, snapshot)))

    def load_write(self, thread: str, snapshot: GraphCheckpoint, write: GraphWrite, items: Mapping[bytes, Blob]) -> Any:
        """The value of a pending write."""
        named = (write.task, write.position, write.path, write.channel)
        return self._load_content(thread, write.content, items, write_at(thread, snapshot.lane, snapshot.checkpoint, named))[
            0
        ]

    def load_channel(
        self,
        thread: str,
        snapshot: GraphCheckpoint,
        channel: str,
        content: Content,
        items: Mapping[bytes, Blob],
        *,
        note: bool,
    ) -> Any:
        """The value of a channel. With `note` its list is remembered, so that the next one can build on it."""
        version = str(snapshot.versions[channel])
        where = _version_at(thread, snapshot.lane, channel, version)
        value, digests = self._load_content(thread, content, items, where)
        if note and isinstance(content, GraphItems) and content.shape == "list":
            track = Track(version, tuple(value), (None,) * len(value), digests)
            self._memory.note((thread, snapshot.lane, channel), track, written=False)
        return value

    def _load_content(
        self, thread: str, content: Content, items: Mapping[bytes, Blob], where: Where
    ) -> tuple[Any, Sequence[bytes]]:
        """A stored value that may be made of items, and their digests."""
        if not isinstance(content, GraphItems):
            return self._load(content, where), ()
        digests = content.digests
        if self._vault is not None:
            digests = digests[:-1]
            self._vault.check(digests, b"".join(content.digests[-1:]), (*where, content.shape))
        values = self._load_items(thread, digests, items)
        match content.shape:
            case "one":
                return values[0], digests
            case "delta":
                return _DeltaSnapshot(values), digests
            case "list":
                return values, digests

    def _load_items(self, thread: str, digests: Sequence[bytes], items: Mapping[bytes, Blob]) -> list[Any]:
        try:
            blobs = [items[digest] for digest in digests]
        except KeyError:
            raise StoreError(f"an item of thread {thread!r} is missing in the store; `joch store check` says more") from None
        if self._cipher is None and self._vault is None and all(kind == "msgpack" for kind, _ in blobs):
            values: list[Any] = self._load(("msgpack", _array([data for _, data in blobs])), ())
            return values
        return [self._load(blob, ("item", thread, digest.hex())) for digest, blob in zip(digests, blobs, strict=True)]
