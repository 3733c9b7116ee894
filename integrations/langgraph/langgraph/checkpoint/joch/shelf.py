"""What all copies of one saver share: the store, opened on first use, and what was seen of it. Does no translation."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any, Protocol

from langgraph.checkpoint.joch.items import Memory

import joch_core
from joch_core import StoreError
from joch_core.stores.threads import Threads

_REMEMBERED_LANES = 4096
_REMEMBERED_HEADS = 64


class StoreLike(Protocol):
    """What the saver needs of a Joch store."""

    @property
    def database(self) -> Any:
        """The engine under the store."""

    def close(self) -> None:
        """Let go of it."""


class Heads:
    """Which checkpoints this saver gave out as the newest of their lane, and wrote itself.

    A run that builds on one of them means to go on; if the lane has moved since, two runs write one thread. A checkpoint
    that was asked for by its id is a fork on purpose, and is let go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: OrderedDict[tuple[str, str], OrderedDict[str | None, None]] = OrderedDict()

    def read(self, thread: str, lane: str, head: str | None) -> None:
        """The newest checkpoint of a lane was given out; None: there was none."""
        with self._lock:
            heads = self._lanes.setdefault((thread, lane), OrderedDict())
            self._lanes.move_to_end((thread, lane))
            heads[head] = None
            heads.move_to_end(head)
            while len(heads) > _REMEMBERED_HEADS:
                heads.popitem(last=False)
            while len(self._lanes) > _REMEMBERED_LANES:
                self._lanes.popitem(last=False)

    def wrote(self, thread: str, lane: str, head: str, *, after: str | None) -> None:
        """A checkpoint was written on top of another. Only a lane that is read from is watched."""
        if (thread, lane) in self._lanes or after is not None:
            self.read(thread, lane, head)

    def release(self, thread: str, lane: str, checkpoint: str) -> None:
        """A checkpoint was named by its id: who builds on it now, forks."""
        with self._lock:
            self._lanes.get((thread, lane), OrderedDict()).pop(checkpoint, None)

    def knows(self, thread: str, lane: str, head: str | None) -> bool:
        """Whether a checkpoint was given out as the newest."""
        with self._lock:
            return head in self._lanes.get((thread, lane), ())

    def forget(self, thread: str) -> None:
        """The thread starts anew."""
        with self._lock:
            for place in [place for place in self._lanes if place[0] == thread]:
                del self._lanes[place]


class Shelf:
    """The store of a saver, and its memory."""

    def __init__(self, store: StoreLike | str | None, namespace: str | None) -> None:
        self.memory = Memory()
        self.heads = Heads()
        self._lock = threading.Lock()
        self._url = store if isinstance(store, str) or store is None else None
        self._mine = isinstance(store, str) or store is None
        self._store: StoreLike | None = None if isinstance(store, str) else store
        self._namespace = namespace or os.environ.get("JOCH_NAMESPACE") or "default"
        self._threads: Threads | None = None
        self._closed = False

    def store(self) -> StoreLike:
        """The store, opened if need be.

        Raises:
            StoreError: it cannot be opened, or the saver was closed.
        """
        self.threads()
        assert self._store is not None
        return self._store

    def threads(self) -> Threads:
        """The graph threads in the store."""
        found = self._threads
        if found is not None:
            return found
        with self._lock:
            if self._closed:
                raise StoreError("this JochSaver is closed: use it inside its `with` block, or make a new one")
            if self._store is None:
                self._store = joch_core.open_store(self._url or joch_core.default_store_url())
            self._threads = Threads(self._store.database, self._namespace)
            return self._threads

    def forget(self, thread: str) -> None:
        """Drop what was seen of a thread."""
        self.memory.forget(thread)
        self.heads.forget(thread)

    def close(self) -> None:
        """Close the store if it was opened here."""
        with self._lock:
            self._closed, self._threads = True, None
            if self._mine and self._store is not None:
                self._store.close()
                self._store = None
