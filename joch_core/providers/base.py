"""Who speaks to a provider: the contract, the entry points it comes in by, and the clients that are kept.

A provider states its call once; the value from the synchronous client is a response, from the asynchronous one an awaitable
of the same. The SDK gives authentication, base URLs, cloud variants and transport; bodies and answers are the wire's.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.providers.endpoint import Endpoint, Timeouts

ENTRY_POINT_GROUP = "joch.providers"

#: Providers that another one's SDK and wire serve; who brings a provider of that name replaces the row.
SERVED_BY: Mapping[str, str] = {
    "ollama": "openai-compatible",
    "vllm": "openai-compatible",
    "llama-cpp": "openai-compatible",
}


@dataclass(frozen=True, slots=True)
class Clients:
    """How the two clients of an SDK are made; each is made only when it is first used."""

    sync: Any
    asynchronous: Any


class Provider(Protocol):
    """One way to reach models. A class with these four members, named by an entry point of `joch.providers`."""

    #: Variables that may hold the key, first one wins; empty: no key is needed.
    key_variables: Sequence[str]

    def clients(self, endpoint: Endpoint) -> Clients:
        """Factories (without arguments) of the synchronous and the asynchronous client for this endpoint."""

    def post(self, client: Any, path: str, body: Json, timeouts: Timeouts) -> Any:
        """Send one request and give the unread response (httpx style: `status_code`, `headers`, `iter_bytes`, `close`).

        From the asynchronous client the value is an awaitable of it. An error status may come back as a response or be
        raised as the SDK's own exception.
        """

    async def aclose(self, client: Any) -> None:
        """Let go of an asynchronous client's connections."""

    def close(self, client: Any) -> None:
        """Let go of a synchronous client's connections."""


@cache
def load_provider(name: str) -> Provider:
    """The provider of this name.

    Raises:
        InvalidArgument: nobody brings it, or its SDK is not installed (the message says what to install).
    """
    known = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    point = known.get(name) or known.get(SERVED_BY.get(name, ""))
    if point is None:
        near = get_close_matches(name, [*known, *SERVED_BY], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidArgument(f"no provider is called {name!r}{hint}")
    provider: Provider = point.load()()
    return provider


def missing_sdk(extra: str, error: ImportError) -> InvalidArgument:
    """What to say when an SDK cannot be imported."""
    return InvalidArgument(f"the SDK of this provider cannot be imported ({error}); install it: pip install 'joch[{extra}]'")


class ClientPool:
    """The SDK clients of one `Joch`: one per endpoint and colour, an asynchronous one per event loop, none across a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._sync: dict[tuple[object, ...], tuple[Provider, Any]] = {}
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[object, ...], tuple[Provider, Any]]] = (
            weakref.WeakKeyDictionary()
        )

    def sync(self, provider: Provider, endpoint: Endpoint) -> Any:
        """The synchronous client for this endpoint."""
        self._after_fork()
        identity = endpoint.identity()
        kept = self._sync.get(identity)
        if kept is None:
            with self._lock:
                kept = self._sync.get(identity)
                if kept is None:
                    kept = self._sync[identity] = (provider, provider.clients(endpoint).sync())
        return kept[1]

    def asynchronous(self, provider: Provider, endpoint: Endpoint) -> Any:
        """The asynchronous client for this endpoint in the running event loop."""
        return self._kept(endpoint) or self._keep(provider, endpoint, provider.clients(endpoint))

    async def prepared(self, provider: Provider, endpoint: Endpoint) -> Any:
        """`asynchronous`; importing an SDK takes seconds on a busy machine, in which the loop shall not stand still."""
        kept = self._kept(endpoint)
        return kept or self._keep(provider, endpoint, await asyncio.to_thread(provider.clients, endpoint))

    def _kept(self, endpoint: Endpoint) -> Any:
        self._after_fork()
        kept = self._async.get(asyncio.get_running_loop(), {}).get(endpoint.identity())
        return None if kept is None else kept[1]

    def _keep(self, provider: Provider, endpoint: Endpoint, made: Clients) -> Any:
        with self._lock:
            clients = self._async.setdefault(asyncio.get_running_loop(), {})
            kept = clients.get(endpoint.identity())
            if kept is None:
                kept = clients[endpoint.identity()] = (provider, made.asynchronous())
        return kept[1]

    def close(self) -> None:
        """Close what can be closed from here: synchronous clients, and asynchronous ones whose loop can still run them."""
        with self._lock:
            sync, self._sync = self._sync, {}
            loops = list(self._async.items())
            self._async.clear()
        for provider, client in sync.values():
            provider.close(client)
        for loop, clients in loops:
            for provider, client in clients.values():
                _close_on(loop, provider, client)

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            # Sockets that a parent opened are the parent's: two processes on one connection mix their answers.
            self._pid, self._sync, self._lock = os.getpid(), {}, threading.Lock()
            self._async = weakref.WeakKeyDictionary()


def _close_on(loop: asyncio.AbstractEventLoop, provider: Provider, client: Any) -> None:
    if loop.is_closed():
        return
    if not loop.is_running():
        loop.run_until_complete(provider.aclose(client))
        return
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        task = loop.create_task(provider.aclose(client))
        _CLOSING.add(task)
        task.add_done_callback(_CLOSING.discard)
    else:
        asyncio.run_coroutine_threadsafe(provider.aclose(client), loop)


#: A task that nobody holds may be collected before it has run.
_CLOSING: set[asyncio.Task[None]] = set()
