"""How the rows of graph threads are packed: small, since there are several of them for every step of every graph.

What is packed here is read by every later version, so the dictionaries below never change; a better one would get a new mark.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

from joch_core.errors import StoreError
from joch_core.stores.chains import Blob, GraphItems, Version, flat, unflat
from joch_core.stores.graphs import GraphWrite

#: A blob is compressed from this size on; ciphertext (kind `…+cipher`) never is.
_WORTH_PACKING_BYTES = 48
_WORTH_PACKING_ITEM_BYTES = 1024
PACKED = "z:"
_SHORT_BYTES = 2048

#: What checkpoints have in common, the commonest at the end (RFC 1950, preset dictionary).
_COMMON = (
    b"\x80\xa6source\xa4loop\xa5input\xa6update\xa4fork\xa4step\x00\xa7parents\x80\xa6run_id\xd9$"
    b"\xbdcounters_since_delta_snapshot\xa1v\x04\xa2ts\xd9 2026-01-01T00:00:00.000000+00:00\xa2id\xd9$1f1e8770-b7e0-6"
    b"\xadpending_sends\x90\xb0updated_channels\x92\xafbranch:to:agent\xa8messages\xafbranch:to:tools\xa8messages\xa5tools\x81"
    b"\xafbranch:to:tools\xa5agent\x81\xafbranch:to:agent\xa9__start__\xd9)\xad__interrupt__\x83\xadversions_seen\x83"
    b"\xa9__input__\x80\xa9__start__\x81\xa9__start__\xd9)00000000000000000000000000000001."
)
_COMMON_VERSIONS = (
    b'"],"nulls":["__pregel_tasks"],"nulls":["branch:to:tools"],"nulls":["branch:to:agent"]}'
    b'","branch:to:tools":"00000000000000000000000000000001.","branch:to:agent":"00000000000000000000000000000001.'
    b'{"versions":{"__start__":"00000000000000000000000000000001.","messages":"00000000000000000000000000000001.'
)
_COMMON_WRITES = (
    b'"__interrupt__","__resume__","__error__","__pregel_tasks","__no_writes__",[1,"~__pregel_push, ","bytes","*",16'
    b'[[0,"~__pregel_pull, __start__","__start__","msgpack",[1,"~__pregel_pull, tools","branch:to:agent","null",0]]'
    b'[[0,"~__pregel_pull, agent","messages","[]",16],[1,"~__pregel_pull, agent","branch:to:tools","null",0]]'
)
_LENGTH_BYTES = 4


def _compress(data: bytes, dictionary: bytes) -> bytes:
    window, memory = (-12, 5) if len(data) < _SHORT_BYTES else (-15, 8)  # a full-sized packer costs more than a short text
    packer = zlib.compressobj(6, zlib.DEFLATED, window, memory, zdict=dictionary)
    return packer.compress(data) + packer.flush()


def _decompress(data: bytes, dictionary: bytes) -> bytes:
    try:
        return zlib.decompressobj(-15, zdict=dictionary).decompress(data)
    except zlib.error:
        raise StoreError("a stored row of a graph thread is damaged; joch store check says more") from None


def pack(blob: Blob, about: bytes = b"") -> Blob:
    """A blob as its two columns. `about` is text that it repeats, and that `unpack` is given too."""
    kind, data = blob
    if "+" in kind or len(data) < _WORTH_PACKING_BYTES:
        return blob
    packed = _compress(data, _COMMON + about)
    return (PACKED + kind, packed) if len(packed) < len(data) else blob


def unpack(kind: str, data: bytes, about: bytes = b"") -> Blob:
    """The opposite of `pack`."""
    if not kind.startswith(PACKED):
        return kind, bytes(data)
    return kind.removeprefix(PACKED), _decompress(bytes(data), _COMMON + about)


def pack_item(blob: Blob) -> Blob:
    """An item as its two columns; only a long one is compressed, since a thread has many and reads them all."""
    kind, data = blob
    if "+" in kind or len(data) < _WORTH_PACKING_ITEM_BYTES:
        return blob
    packed = _compress(data, b"")
    return (PACKED + kind, packed) if len(packed) < len(data) * 3 // 4 else blob


def unpack_item(kind: str, data: bytes) -> Blob:
    """The opposite of `pack_item`."""
    return (kind.removeprefix(PACKED), _decompress(bytes(data), b"")) if kind.startswith(PACKED) else (kind, bytes(data))


def versions_text(versions: Mapping[str, Version], nulls: Sequence[str]) -> bytes:
    """Channel versions as text; whole numbers and strings stay apart."""
    found: dict[str, object] = {"versions": dict(versions)}
    if nulls:
        found["nulls"] = list(nulls)
    return json.dumps(found, separators=(",", ":")).encode()


def pack_versions(text: bytes) -> bytes:
    """`versions_text` as a column."""
    return _compress(text, _COMMON_VERSIONS)


def unpack_versions(packed: bytes) -> tuple[dict[str, Version], tuple[str, ...], bytes]:
    """Versions, the channels that hold None, and the text itself."""
    text = _decompress(bytes(packed), _COMMON_VERSIONS)
    found = json.loads(text)
    return found["versions"], tuple(found.get("nulls", ())), text


def pack_writes(writes: Iterable[GraphWrite]) -> bytes:
    """The writes of one task as a column: how long the head is, the head (JSON, compressed), then the bytes of each."""
    heads, parts = [], []
    for write in writes:
        kind, data = flat(write.content)
        heads.append([write.position, write.path, write.channel, kind, len(data)])
        parts.append(data)
    head = _compress(json.dumps(heads, separators=(",", ":")).encode(), _COMMON_WRITES)
    return len(head).to_bytes(_LENGTH_BYTES, "big") + head + b"".join(parts)


def unpack_writes(task: str, packed: bytes) -> list[GraphWrite]:
    """The opposite of `pack_writes`."""
    whole = bytes(packed)
    at = _LENGTH_BYTES + int.from_bytes(whole[:_LENGTH_BYTES], "big")
    writes = []
    for position, path, channel, kind, length in json.loads(_decompress(whole[_LENGTH_BYTES:at], _COMMON_WRITES)):
        writes.append(GraphWrite(task, position, path, channel, unflat(kind, whole[at : at + length])))
        at += length
    return writes


def digests_in(packed: bytes) -> Iterable[bytes]:
    """The items that the writes of one task refer to."""
    for write in unpack_writes("", packed):
        if isinstance(write.content, GraphItems):
            yield from write.content.digests
