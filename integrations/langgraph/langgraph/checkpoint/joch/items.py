"""How values become items and items become values: digests, what is unchanged, and what need not be decoded again.

A list of messages is put again and again, one message longer. Serialising it whole each time costs what the list weighs, so
the last list of every channel is remembered with a *mark* of each item: a copy of its inner state. An item that is the same
object in the same state keeps its digest. The comparison is deep; only a number that was changed in place into an equal one of another type
(1 into True) escapes it. Marks also serve reading: a message that was seen is copied from its mark and not decoded.
Does no I/O.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import attrgetter, eq, is_
from typing import Any

from langchain_core.messages import BaseMessage

Blob = tuple[str, bytes]

_DIGEST_BYTES = 16
_TRACKED_CHANNELS = 1024
_SHORT_TEXT = 64
_SHORT_LIST = 256
_ATOMS = (str, int, float, bool, bytes, type(None))
_state_of = attrgetter("__dict__")
_extra_of = attrgetter("__pydantic_extra__")


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of a message at one moment, never handed out; what it holds is plain data through and through."""

    type: type[BaseMessage]
    state: Mapping[str, Any]
    fields_set: frozenset[str]

    def message(self) -> BaseMessage:
        """A new message in that state."""
        new = self.type.__new__(self.type)
        object.__setattr__(new, "__dict__", _copied(self.state))
        object.__setattr__(new, "__pydantic_fields_set__", set(self.fields_set))
        object.__setattr__(new, "__pydantic_extra__", {})
        object.__setattr__(new, "__pydantic_private__", None)
        return new


@dataclass(frozen=True, slots=True)
class Track:
    """The list that a channel held at a version, item by item. A mark is None where an item cannot be compared."""

    version: str
    objects: Sequence[Any]
    marks: Sequence[Mark | None]
    digests: Sequence[bytes]


class Forgotten(Exception):
    """The memory gave up an item between the question what it knows and its use: read it from the store."""


class _Foreign(Exception):
    """Something else than plain data."""


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        return {_key(name): _plain(inner) for name, inner in value.items()}
    if kind is list:
        return [_plain(inner) for inner in value]
    raise _Foreign


def _key(name: Any) -> Any:
    if type(name) is str:
        return name
    raise _Foreign


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    new = dict(state)
    for name, value in new.items():
        if type(value) in (dict, list):
            new[name] = _cloned(value)
    return new


def _cloned(value: Any) -> Any:
    """A copy of plain data, containers included."""
    if type(value) is dict:
        return {name: _cloned(inner) for name, inner in value.items()} if value else {}
    if type(value) is list:
        return [_cloned(inner) for inner in value] if value else []
    return value


def mark_of(value: Any) -> Mark | None:
    """The mark of an item; None for anything but a message that holds plain data."""
    if not isinstance(value, BaseMessage) or not type(value).__module__.startswith("langchain_core.messages."):
        return None  # a class of somebody else may keep more in itself than it writes down
    if value.__pydantic_extra__ or value.__pydantic_private__:
        return None
    try:
        state = dict(value.__dict__)
        for name, inner in state.items():
            if type(inner) not in _ATOMS:
                state[name] = _plain(inner)
    except _Foreign:
        return None
    return Mark(type(value), state, frozenset(value.__pydantic_fields_set__))


def is_worth_splitting(value: Any) -> bool:
    """Whether a channel value is stored item by item: a list, unless it is a short one of short atoms."""
    if type(value) is not list or not value:
        return False
    if len(value) > _SHORT_LIST:
        return True
    return not all(
        type(one) in (int, float, bool, type(None)) or (type(one) is str and len(one) <= _SHORT_TEXT) for one in value
    )


def common_prefix(value: Sequence[Any], track: Track) -> int:
    """How many leading items are the same objects in the same state as in an earlier list."""
    length = min(len(value), len(track.objects))
    same = list(map(is_, value, track.objects))
    length = length if False not in same else same.index(False)
    try:
        alike = list(map(eq, map(_state_of, value[:length]), [mark.state for mark in track.marks[:length]]))  # type: ignore[union-attr]
        if not any(map(_extra_of, value[:length])):
            return length if False not in alike else alike.index(False)
    except AttributeError:  # an item without a mark, or one that is no message
        pass
    for at in range(length):
        if not _is_unchanged(value[at], track.marks[at]):
            return at
    return length


def _is_unchanged(value: Any, mark: Mark | None) -> bool:
    """Whether an item is still in the state of its mark."""
    if mark is None:
        return type(value) in _ATOMS
    return bool(type(value) is mark.type and value.__dict__ == mark.state and not value.__pydantic_extra__)


@dataclass(slots=True)
class Encoded:
    """A list on its way into the store: its digests, the items that may be new, and what to remember of it."""

    objects: Sequence[Any]
    digests: list[bytes]
    marks: list[Mark | None]
    items: dict[bytes, Blob] = field(default_factory=dict)
    base: str | None = None
    keep: int = 0

    def track(self, version: str) -> Track:
        """What is remembered once it is stored."""
        return Track(version, self.objects, self.marks, self.digests)


class ItemMemory:
    """What this process remembers of lists and messages. Bounded; losing any of it costs time and nothing else."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()
        self._tracks: OrderedDict[tuple[str, str, str], tuple[Track | None, Track | None]] = OrderedDict()
        self._marks: OrderedDict[bytes, tuple[Mark, int]] = OrderedDict()
        self.secrets: dict[str, bytes] = {}

    def __contains__(self, digest: object) -> bool:
        return digest in self._marks

    def get(self, digest: bytes) -> Mark | None:
        """The mark of an item by its digest."""
        found = self._marks.get(digest)
        return None if found is None else found[0]

    def remember(self, digest: bytes, mark: Mark | None, size_bytes: int) -> None:
        """Keep a mark; the oldest ones make room for it."""
        if mark is None or size_bytes > self._limit_bytes:
            return
        with self._lock:
            if digest not in self._marks:
                self._marks[digest] = (mark, size_bytes)
                self._used_bytes += size_bytes
            while self._used_bytes > self._limit_bytes:
                self._used_bytes -= self._marks.popitem(last=False)[1][1]

    def note(self, place: tuple[str, str, str], track: Track, *, written: bool) -> None:
        """Keep the list that a channel of (thread, lane, channel) holds: as this process wrote it, or as it last read it."""
        with self._lock:
            old = self._tracks.pop(place, (None, None))
            self._tracks[place] = (track, old[1]) if written else (old[0], track)
            while len(self._tracks) > _TRACKED_CHANNELS:
                self._tracks.popitem(last=False)

    def forget(self, thread: str) -> None:
        """Drop the lists of a thread that was deleted or cut."""
        with self._lock:
            for place in [place for place in self._tracks if place[0] == thread]:
                del self._tracks[place]

    def tracks(self, place: tuple[str, str, str]) -> tuple[Track, ...]:
        """The lists known for a channel."""
        return tuple(track for track in self._tracks.get(place, ()) if track is not None)


def encode(
    value: Sequence[Any], tracks: Sequence[Track], memory: ItemMemory, key: bytes, dump: Callable[[Any], tuple[Blob, bytes]]
) -> Encoded:
    """Make a list ready to be stored, with as little serialising as the lists seen before allow.

    `dump` gives the blob to store and the bytes to hash (they differ under encryption); `key` keys the hash.
    """
    objects = tuple(value)
    best = max(tracks, key=lambda track: _head_match(objects, track), default=None)
    keep = 0 if best is None else common_prefix(objects, best)
    base = best.version if best is not None and keep else None
    done = Encoded(objects, [], [], base=base, keep=keep)
    if best is not None and keep:
        done.digests += best.digests[:keep]
        done.marks += best.marks[:keep]
    where = {} if best is None or keep == len(objects) else {id(one): at for at, one in enumerate(best.objects)}
    for one in objects[keep:]:
        at = where.get(id(one))
        if best is not None and at is not None and best.objects[at] is one and _is_unchanged(one, best.marks[at]):
            done.digests.append(best.digests[at])
            done.marks.append(best.marks[at])
        else:
            digest, mark = add_item(one, done.items, memory, key, dump)
            done.digests.append(digest)
            done.marks.append(mark)
    return done


def add_item(
    value: Any, items: dict[bytes, Blob], memory: ItemMemory, key: bytes, dump: Callable[[Any], tuple[Blob, bytes]]
) -> tuple[bytes, Mark | None]:
    """Serialise one item into `items`; its digest and its mark."""
    mark = mark_of(value)
    blob, plain = dump(value)
    digest = blake2b(plain, digest_size=_DIGEST_BYTES, key=key, person=blob[0].partition("+")[0].encode()[:16]).digest()
    items[digest] = blob
    memory.remember(digest, mark, len(plain))
    return digest, mark


def _head_match(value: Sequence[Any], track: Track) -> int:
    """How many leading objects two lists share."""
    same = list(map(is_, value, track.objects))
    return len(same) if False not in same else same.index(False)
