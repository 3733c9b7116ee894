"""How a list becomes items: their digests, and which of them are known to be unchanged. Does no I/O.

A list of messages is put again and again, one message longer. Serialising it whole each time costs what the list weighs, so
the last list of every channel is remembered, item by item, with a *mark*: a copy of the item's inner state. An item that is the
same object in the same state keeps its digest.

Comparing a thousand states at every step would again cost what the list weighs. Compared are therefore the items that a task
has just written, the newest ones, and as many of the older ones in turn. So what a node returns is always seen; an old message that
a node changes in place and does not return is seen some steps later.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import is_
from typing import Any

from langchain_core.messages import BaseMessage

Blob = tuple[str, bytes]
Place = tuple[str, str, str]
_DIGEST_BYTES = 16
#: How many of the newest items are compared at each put, and as many of the older ones in turn.
_COMPARED = 16
_TRACKED_CHANNELS = 1024
_TRACKED_ITEMS = 50_000
_TOUCHED_OBJECTS = 4096
_SHORT_TEXT = 64
_SHORT_LIST = 256
_ATOMS = (str, int, float, bool, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Dump:
    """How the items of a thread become blobs: serialised by `plain`, named by a hash under `key`, stored as `seal` gives them."""

    key: bytes
    plain: Callable[[Any], Blob]
    seal: Callable[[Blob, bytes], Blob]


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of a message at one moment: plain data through and through, held by nobody else."""

    type: type[BaseMessage]
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Track:
    """The list that a channel held at a version. A mark is None where an item was not looked at or cannot be compared.

    `turn` is where among the older items the next comparison begins.
    """

    version: str
    objects: Sequence[Any]
    marks: Sequence[Mark | None]
    digests: Sequence[bytes]
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Touched:
    """An object that a task wrote, and how it was stored then. The mark is None where it has to be serialised again."""

    value: Any
    mark: Mark | None = None
    digest: bytes = b""
    blob: Blob = ("", b"")


@dataclass(slots=True)
class Encoded:
    """A list on its way into the store: its digests, the items that may be new, and the version it builds on."""

    objects: Sequence[Any]
    digests: list[bytes]
    marks: list[Mark | None]
    items: dict[bytes, Blob] = field(default_factory=dict)
    base: str | None = None
    keep: int = 0
    turn: int = 0

    def track(self, version: str) -> Track:
        """What is remembered once it is stored."""
        return Track(version, self.objects, self.marks, self.digests, self.turn)


class _Foreign(Exception):
    """Something else than plain data."""


def _plain(value: Any) -> Any:
    """A copy of plain data."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        return {_plain(name): _plain(inner) for name, inner in value.items()}
    if kind is list:
        return [_plain(inner) for inner in value]
    raise _Foreign


def mark_of(value: Any) -> Mark | None:
    """The mark of an item; None for anything but a message that holds plain data."""
    if not isinstance(value, BaseMessage) or not type(value).__module__.startswith("langchain_core.messages."):
        return None  # a class of somebody else may keep more in itself than it shows
    if value.__pydantic_extra__ or value.__pydantic_private__:
        return None
    try:
        state = dict(value.__dict__)
        for name, inner in state.items():
            if type(inner) not in _ATOMS:
                state[name] = _plain(inner)
    except _Foreign:
        return None
    return Mark(type(value), state)


def is_unchanged(value: Any, mark: Mark | None) -> bool:
    """Whether an object is still in the state of its mark.

    The comparison is deep; only a number that was changed in place into an equal one of another type (1 into True) escapes it.
    """
    if mark is None:
        return type(value) in _ATOMS
    return bool(type(value) is mark.type and value.__dict__ == mark.state and not value.__pydantic_extra__)


def is_worth_splitting(value: Any) -> bool:
    """Whether a channel value is stored item by item: a list, unless it is a short one of short atoms."""
    if type(value) is not list or not value:
        return False
    if len(value) > _SHORT_LIST:
        return True
    return not all(
        type(one) in (int, float, bool, type(None)) or (type(one) is str and len(one) <= _SHORT_TEXT) for one in value
    )


def common_length(value: Sequence[Any], track: Track) -> int:
    """How many leading objects two lists share."""
    shorter = min(len(value), len(track.objects))
    if all(map(is_, value, track.objects)):  # the common case, without a list of answers
        return shorter
    same = list(map(is_, value, track.objects))
    return same.index(False)


def encode(value: Sequence[Any], tracks: Iterable[Track], touched: Mapping[int, Touched], dump: Dump) -> Encoded:
    """Make a list ready to be stored, with as little serialising as the lists seen before allow.

    Args:
        value: The list.
        tracks: Lists that the channel held before.
        touched: Objects that tasks have written lately, by `id()`; they are compared in any case.
        dump: How an item is stored.
    """
    objects = tuple(value)
    best, shared = None, 0
    for track in tracks:
        length = common_length(objects, track)
        if best is None or length > shared:
            best, shared = track, length
    if best is None:
        done = Encoded(objects, [], [])
        _append(done, objects, touched, dump)
        return done
    done = Encoded(objects, list(best.digests[:shared]), list(best.marks[:shared]), keep=shared)
    older = max(0, shared - _COMPARED)
    begin = best.turn if best.turn < older else 0
    done.turn = begin + _COMPARED
    compared = {*range(older, shared), *range(begin, min(done.turn, older))}
    if set(touched).difference(map(id, objects[older:])):
        compared.update(at for at, one in enumerate(map(id, objects[:older])) if one in touched)
    for at in compared:
        if not is_unchanged(objects[at], done.marks[at]):
            digest, done.marks[at] = add_item(objects[at], done.items, dump, touched)
            if digest != done.digests[at]:
                done.digests[at] = digest
                done.keep = min(done.keep, at)
            else:
                del done.items[digest]
    if shared == len(best.objects):
        _append(done, objects[shared:], touched, dump)
    else:  # something was removed or replaced in the middle: what follows is mostly known
        _append(done, objects[shared:], touched, dump, best)
    done.base = best.version if done.keep else None
    return done


def _append(
    done: Encoded, objects: Sequence[Any], touched: Mapping[int, Touched], dump: Dump, known: Track | None = None
) -> None:
    places = {} if known is None else {id(one): at for at, one in enumerate(known.objects)}
    for one in objects:
        at = places.get(id(one))
        if known is not None and at is not None and is_unchanged(one, known.marks[at]):
            digest, mark = known.digests[at], known.marks[at]
        else:
            digest, mark = add_item(one, done.items, dump, touched)
        done.digests.append(digest)
        done.marks.append(mark)


def add_item(value: Any, items: dict[bytes, Blob], dump: Dump, touched: Mapping[int, Touched]) -> tuple[bytes, Mark | None]:
    """Serialise one item into `items`, unless a task wrote it just so; its digest and its mark."""
    before = touched.get(id(value))
    if before is not None and before.mark is not None and is_unchanged(value, before.mark):
        items[before.digest] = before.blob
        return before.digest, before.mark
    mark = mark_of(value)
    kind, plain = blob = dump.plain(value)
    digest = blake2b(plain, digest_size=_DIGEST_BYTES, key=dump.key, person=kind.encode()[:_DIGEST_BYTES]).digest()
    items[digest] = dump.seal(blob, digest)
    return digest, mark


def written(values: Iterable[Any], items: dict[bytes, Blob], dump: Dump) -> dict[int, Touched]:
    """The objects among written values, their messages serialised into `items`."""
    found: dict[int, Touched] = {}
    for value in values:
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, BaseMessage):
                digest, mark = add_item(one, items, dump, found)
                found[id(one)] = Touched(one, mark, digest, items[digest])
            elif type(one) not in _ATOMS:
                found[id(one)] = Touched(one)
    return found


class Memory:
    """What this process remembers of the lists it stored and read. Bounded; losing any of it costs time and nothing else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tracks: OrderedDict[Place, tuple[Track | None, Track | None]] = OrderedDict()
        self._tracked_items = 0
        self._touched: OrderedDict[tuple[str, str], dict[int, Touched]] = OrderedDict()
        self._secrets: dict[str, bytes] = {}

    def note(self, place: Place, track: Track, *, written: bool) -> None:
        """Keep the list of a channel (thread, lane, channel): as this process wrote it, or as it last read it."""
        with self._lock:
            old = self._tracks.pop(place, (None, None))
            new = (track, None) if written else (old[0], track)
            self._tracks[place] = new
            self._tracked_items += _weight(new) - _weight(old)
            while len(self._tracks) > 1 and (len(self._tracks) > _TRACKED_CHANNELS or self._tracked_items > _TRACKED_ITEMS):
                self._tracked_items -= _weight(self._tracks.popitem(last=False)[1])

    def tracks(self, place: Place) -> tuple[Track, ...]:
        """The lists known for a channel."""
        with self._lock:
            return tuple(track for track in self._tracks.get(place, ()) if track is not None)

    def touch(self, thread: str, lane: str, objects: Mapping[int, Touched]) -> None:
        """A task has written these objects; they are held, so that no other object can get their id."""
        with self._lock:
            touched = self._touched.setdefault((thread, lane), {})
            self._touched.move_to_end((thread, lane))
            touched.update(objects)
            while len(touched) > _TOUCHED_OBJECTS:
                del touched[next(iter(touched))]
            while len(self._touched) > _TRACKED_CHANNELS:
                self._touched.popitem(last=False)

    def touched(self, thread: str, lane: str) -> dict[int, Touched]:
        """What was written since the last checkpoint of a lane, by `id()`."""
        with self._lock:
            return dict(self._touched.get((thread, lane), {}))

    def untouch(self, thread: str, lane: str, seen: Iterable[int]) -> None:
        """These objects are stored as they are."""
        with self._lock:
            touched = self._touched.get((thread, lane), {})
            for one in seen:
                touched.pop(one, None)
            if not touched:
                self._touched.pop((thread, lane), None)

    def secret(self, thread: str) -> bytes | None:
        """The secret of a thread, if it was read already."""
        return self._secrets.get(thread)

    def keep_secret(self, thread: str, secret: bytes) -> None:
        """Keep the secret of a thread."""
        with self._lock:
            if len(self._secrets) >= _TRACKED_CHANNELS:
                self._secrets.clear()
            self._secrets[thread] = secret

    def forget(self, thread: str) -> None:
        """Drop what is known of a thread that was deleted or cut."""
        with self._lock:
            for place in [place for place in self._tracks if place[0] == thread]:
                self._tracked_items -= _weight(self._tracks.pop(place))
            for lane in [lane for lane in self._touched if lane[0] == thread]:
                del self._touched[lane]
            self._secrets.pop(thread, None)


def _weight(tracks: tuple[Track | None, Track | None]) -> int:
    return sum(len(track.objects) for track in tracks if track is not None)
