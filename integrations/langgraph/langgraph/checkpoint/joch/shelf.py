"""What all copies of one saver share: the store, opened on first use, and what was seen of it. Does no translation."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol, cast

from langgraph.checkpoint.joch.items import Memory
from langgraph.checkpoint.joch.vault import KeyLike, Vault, check_forms, key_bytes

from joch_core import Joch, Store, StoreError, Threads, default_store_url, open_store

_REMEMBERED_LANES = 4096
_REMEMBERED_HEADS = 64


def _is_secret(key: KeyLike) -> bool:
    return isinstance(key, str) and key.startswith("secret:")


class StoreLike(Protocol):
    """What the saver needs of a Joch store."""

    @property
    def database(self) -> Any:
        """The engine under the store."""

    def close(self) -> None:
        """Let go of it."""


class Heads:
    """Which checkpoints the runs of this saver build on, lane by lane.

    A run that was given the newest checkpoint of a lane means to go on from there; if the lane has moved since, two runs write
    one thread. A checkpoint that was asked for by its id is forked on purpose. Who puts without having read is watched by nobody.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: True: given out as the newest. False: named by its id.
        self._lanes: OrderedDict[tuple[str, str], OrderedDict[str | None, bool]] = OrderedDict()

    def _note(self, thread: str, lane: str, checkpoint: str | None, newest: bool) -> None:
        seen = self._lanes.setdefault((thread, lane), OrderedDict())
        self._lanes.move_to_end((thread, lane))
        seen[checkpoint] = newest
        seen.move_to_end(checkpoint)
        while len(seen) > _REMEMBERED_HEADS:
            seen.popitem(last=False)
        while len(self._lanes) > _REMEMBERED_LANES:
            self._lanes.popitem(last=False)

    def read(self, thread: str, lane: str, checkpoint: str | None) -> None:
        """The newest checkpoint of a lane was given out; None: there was none."""
        with self._lock:
            self._note(thread, lane, checkpoint, newest=True)

    def named(self, thread: str, lane: str, checkpoint: str) -> None:
        """A checkpoint was asked for by its id."""
        with self._lock:
            self._note(thread, lane, checkpoint, newest=False)

    def listed(self, thread: str, lane: str, checkpoint: str) -> None:
        """A checkpoint was shown among others."""
        with self._lock:
            seen = self._lanes.get((thread, lane))
            if seen is not None and checkpoint in seen:
                seen[checkpoint] = False

    def wrote(self, thread: str, lane: str, checkpoint: str, *, after: str | None) -> None:
        """A checkpoint was written on top of another one; if that one was read here, the run goes on from its own."""
        with self._lock:
            if after in self._lanes.get((thread, lane), ()):
                self._note(thread, lane, checkpoint, newest=True)

    def is_newest(self, thread: str, lane: str, checkpoint: str | None) -> bool:
        """Whether who builds on a checkpoint took it for the newest."""
        with self._lock:
            seen = self._lanes.get((thread, lane))
            return seen is not None and seen.get(checkpoint, False)

    def forget(self, thread: str) -> None:
        """The thread starts anew."""
        with self._lock:
            for place in [place for place in self._lanes if place[0] == thread]:
                del self._lanes[place]


class Shelf:
    """The store of a saver, and its memory."""

    def __init__(self, store: StoreLike | str | None, namespace: str | None, keys: Sequence[KeyLike] = ()) -> None:
        check_forms(keys)
        self._keys: list[KeyLike] = [one if _is_secret(one) else key_bytes(one, str) for one in keys]
        self._vault: Vault | None = None
        self.memory = Memory()
        self.heads = Heads()
        self._lock = threading.Lock()
        self._mine = isinstance(store, str) or store is None
        self._url = store if isinstance(store, str) else os.environ.get("JOCH_STORE") or default_store_url()
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
            store = self._store or open_store(self._url)
            self._store, self._threads = store, Threads(store.database, self._namespace)
            return self._threads

    def vault(self) -> Vault | None:
        """The vault, if the saver encrypts. A `Secret` is looked up on first use, since it may stand in the store.

        Raises:
            InvalidArgument: a secret, or the variable that it names, is not there.
        """
        if self._vault is None and self._keys:
            keys = [key_bytes(one, self._variable_of) for one in self._keys]
            self._vault = Vault(keys)
        return self._vault

    def _variable_of(self, secret: str) -> str:
        self.threads()
        with Joch(cast("Store", self._store), namespace=self._namespace) as joch:
            return str(joch.describe("Secret", secret)["spec"]["source"]["name"])

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
