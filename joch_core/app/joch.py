"""`Joch`: reads the resources, opens the store, and answers the four verbs. May be used from several threads and loops."""

from __future__ import annotations

import asyncio
import builtins
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from joch_core.app import moving
from joch_core.app.assembly import Assembly, Caller, assemble
from joch_core.app.conversation import Conversation
from joch_core.app.explain import Explanation, explain
from joch_core.app.health import Health
from joch_core.app.loading import CatalogSource
from joch_core.app.moments import moment
from joch_core.app.reading import read_request
from joch_core.app.request import Asked, MessagesLike, Options, build_request, parse_output
from joch_core.app.routes import RouteLike, find_route
from joch_core.app.run import Run
from joch_core.app.settings import Settings
from joch_core.app.status import describe_resource, list_resources
from joch_core.app.streams import AsyncReplyStream, ReplyStream
from joch_core.app.tool_policy import tool_judge
from joch_core.errors import InvalidArgument, NotFound
from joch_core.messages import Json, ModelRequest, Reply, ToolSpec
from joch_core.migration.check import COLD, CheckReport
from joch_core.providers.base import ClientPool
from joch_core.resources.catalog import Catalog
from joch_core.resources.events import Event, conversation_log, execution_log
from joch_core.resources.route import ModelRoute
from joch_core.resources.state import StateCheckpoint
from joch_core.resources.tool import Tool
from joch_core.resources.tools import ToolDeclaration, declared_by, tool
from joch_core.routing import drive
from joch_core.stores import open_store
from joch_core.stores.base import Query, Store
from joch_core.stores.ledger import Guard, calls

#: How long an edit of a route may go unseen by a running process.
_CATALOG_TTL_S = 1.0


class Joch:
    """An agent's way to its models. `with Joch() as joch: joch.call("research-default", [Message.user("hello")])`.

    Args:
        store: `sqlite:///file.db`, `sqlite:///:memory:` or `postgresql://…`; default JOCH_STORE, else `~/.joch/joch.db`.
        resources: A YAML file or folder that is read beside what was applied; default JOCH_RESOURCES.
        namespace: Whose rows these are; default JOCH_NAMESPACE, else `default`.
        keep_raw: Keep each raw exchange beside the reply (`reply.raw`).
    """

    def __init__(
        self,
        store: str | Store | None = None,
        resources: str | Path | None = None,
        namespace: str | None = None,
        *,
        keep_raw: bool = False,
    ) -> None:
        url = store if isinstance(store, str) else None
        self.settings = Settings.read(store=url, resources=resources, namespace=namespace)
        self.namespace = self.settings.namespace
        self.keep_raw = keep_raw
        self.pool = ClientPool()
        self.health = Health()
        self._lock = threading.RLock()
        self._store: Store | None = None if store is None or isinstance(store, str) else store
        self._own_store = self._store is None
        self._source = CatalogSource(self.settings)
        self._catalog: Catalog | None = None
        self._catalog_until_s = 0.0
        self._conversations: dict[str, Conversation] = {}
        #: The spans of the calls that are on their way in this process.
        self.running: set[str] = set()

    @property
    def store(self) -> Store:
        """The store, opened on first use."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    self._store = open_store(self.settings.store)
        return self._store

    @property
    def catalog(self) -> Catalog:
        """All resources of the namespace: files, what was applied, and the built-in models. An edit is seen within 1 s."""
        catalog = self._catalog
        if catalog is None or time.monotonic() >= self._catalog_until_s:
            with self._lock:
                catalog = self._catalog = self._source.catalog(self.store)
                self._catalog_until_s = time.monotonic() + _CATALOG_TTL_S
        return catalog

    def route(self, route: RouteLike) -> ModelRoute:
        """The route that is meant: a name, a file, a `ModelRoute`, one backend or a list of them (first is primary)."""
        return find_route(route, self.catalog)

    # ------------------------------------------------------------------------------------------------ the four verbs

    def call(
        self,
        route: RouteLike,
        messages: MessagesLike = (),
        *,
        request: ModelRequest | None = None,
        conversation: str | None = None,
        execution: Run | str | None = None,
        timeout_s: float | None = None,
        framework: str | None = None,
        agent: str | None = None,
        **options: Unpack[Options],
    ) -> Reply:
        """Ask the route and wait for the whole answer.

        Raises:
            JochError: see `joch_core.errors`; `.attempts` says who was asked.
        """
        asked = build_request(messages, options, request)
        caller = self._caller(conversation, execution, timeout_s, framework, agent)
        assembly = assemble(self, self.route(route), asked.request, caller)
        return self._finished(asked, drive.call(assembly.flow, assembly.ports))

    async def acall(
        self,
        route: RouteLike,
        messages: MessagesLike = (),
        *,
        request: ModelRequest | None = None,
        conversation: str | None = None,
        execution: Run | str | None = None,
        timeout_s: float | None = None,
        framework: str | None = None,
        agent: str | None = None,
        **options: Unpack[Options],
    ) -> Reply:
        """`call` without holding the event loop."""
        asked = build_request(messages, options, request)
        caller = self._caller(conversation, execution, timeout_s, framework, agent)
        assembly = await self._assembled(route, asked, caller)
        return self._finished(asked, await drive.acall(assembly.flow, assembly.ports))

    def stream(
        self,
        route: RouteLike,
        messages: MessagesLike = (),
        *,
        request: ModelRequest | None = None,
        conversation: str | None = None,
        execution: Run | str | None = None,
        timeout_s: float | None = None,
        framework: str | None = None,
        agent: str | None = None,
        on_interrupt: str = "error",
        **options: Unpack[Options],
    ) -> ReplyStream:
        """Ask the route and hand over what arrives. After the last delta `.reply` is what `call` would have returned.

        `on_interrupt="restart"`: a stream that breaks in the middle begins anew at the next candidate, after a delta of
        type `restart` (what was handed over before it is void). The default raises `StreamInterrupted`.
        """
        asked = build_request(messages, options, request)
        caller = self._caller(conversation, execution, timeout_s, framework, agent)
        caller = replace(caller, streaming=True, on_interrupt=on_interrupt)
        assembly = assemble(self, self.route(route), asked.request, caller)
        return ReplyStream(assembly, lambda reply: self._finished(asked, reply))

    def astream(
        self,
        route: RouteLike,
        messages: MessagesLike = (),
        *,
        request: ModelRequest | None = None,
        conversation: str | None = None,
        execution: Run | str | None = None,
        timeout_s: float | None = None,
        framework: str | None = None,
        agent: str | None = None,
        on_interrupt: str = "error",
        **options: Unpack[Options],
    ) -> AsyncReplyStream:
        """`stream` without holding the event loop."""
        asked = build_request(messages, options, request)

        async def assembled() -> Assembly:
            caller = self._caller(conversation, execution, timeout_s, framework, agent)
            streaming = replace(caller, streaming=True, on_interrupt=on_interrupt)
            return await self._assembled(route, asked, streaming)

        return AsyncReplyStream(assembled, lambda reply: self._finished(asked, reply))

    async def _assembled(self, route: RouteLike, asked: Asked, caller: Caller) -> Assembly:
        """The assembly, in a worker thread where it must read: a bare call on a catalog that is fresh reads nothing."""
        fresh = self._catalog is not None and time.monotonic() < self._catalog_until_s
        if fresh and caller.conversation is None and caller.execution is None:
            return assemble(self, self.route(route), asked.request, caller)
        return await asyncio.to_thread(lambda: assemble(self, self.route(route), asked.request, caller))

    def _caller(
        self,
        conversation: str | None,
        execution: Run | str | None,
        timeout_s: float | None,
        framework: str | None,
        agent: str | None,
    ) -> Caller:
        name = execution
        if isinstance(execution, Run):
            name = execution.name
            conversation = conversation or execution.conversation
            agent = agent or execution.agent
        return Caller(
            conversation=None if conversation is None else self.conversation(conversation),
            execution=None if name is None else str(name),
            timeout_s=timeout_s,
            framework=framework,
            agent=agent,
        )

    def _finished(self, asked: Asked, reply: Reply) -> Reply:
        reply.output = parse_output(reply, asked)
        reply.losses = tuple(loss for loss in reply.losses if loss["code"] != COLD)
        return reply

    # ------------------------------------------------------------------------------- conversations and their history

    def execution(self, conversation: str | None = None, *, agent: str | None = None) -> Run:
        """An execution that groups calls: `with joch.execution(conversation="conv-99") as run:`."""
        return Run(self, conversation, agent)

    def conversation(self, name: str) -> Conversation:
        """The conversation of this name; it begins with its first event."""
        if not name or not isinstance(name, str):
            raise InvalidArgument(f"a conversation's name must be a text that is not empty, not {name!r}")
        with self._lock:
            return self._conversations.setdefault(name, Conversation(self, name))

    def check_switch(
        self,
        *,
        to: str,
        conversation: str | None = None,
        messages: MessagesLike = (),
        tools: Sequence[ToolSpec] | None = None,
        request: ModelRequest | None = None,
    ) -> CheckReport:
        """What a switch to this backend would change or lose, line by line. Nothing is written.

        Raises:
            NotFound: the conversation does not exist.
        """
        return moving.check_switch(self, build_request(messages, {"tools": tools}, request).request, conversation, to)

    def read_request(self, api: str, body: Json, backend: str | None = None) -> ModelRequest:
        """`joch_core.read_request`, with the models of this namespace as possible issuers of the opaque tokens."""
        return read_request(api, body, backend, catalog=self.catalog)

    def preview(
        self,
        *,
        to: str,
        conversation: str | None = None,
        messages: MessagesLike = (),
        tools: Sequence[ToolSpec] | None = None,
        request: ModelRequest | None = None,
    ) -> Json:
        """The exact JSON body that the target would receive; nothing is sent."""
        return moving.preview(self, build_request(messages, {"tools": tools}, request).request, conversation, to)

    def switch(
        self,
        *,
        conversation: str,
        to: str,
        reason: str = "operator",
        tools: Sequence[ToolSpec] | None = None,
        agent: str | None = None,
    ) -> StateCheckpoint:
        """Move a conversation to another backend; its next call renders from the checkpoint that comes back.

        Raises:
            NotFound, PolicyDenied, MigrationRefused, ConversationConflict: nothing has changed.
        """
        return moving.switch(self, build_request((), {"tools": tools}).request, conversation, to, reason, agent)

    def import_conversation(self, data: Json, *, name: str | None = None) -> Conversation:
        """Take in what `Conversation.export` wrote. An edited log is refused by its hash."""
        return self.conversation(moving.import_conversation(self, data, name))

    #: Declares a tool's side effect: `@joch.tool(effect="external_write")`; see `joch_core.tool`.
    tool = staticmethod(tool)

    def guard(
        self,
        conversation: str | None = None,
        *,
        execution: Run | str | None = None,
        declarations: Mapping[str, ToolDeclaration] | None = None,
        **settings: Any,
    ) -> Guard:
        """The guard of this conversation's side effects: `guard.call(create_ticket, {…}, call_id=…)`.

        `declarations` declare tools that do not say it themselves; `settings` are those of `stores.ledger.Guard`.
        """
        if conversation is None and isinstance(execution, Run):
            conversation = execution.conversation
        if not conversation:
            raise InvalidArgument("a guard needs the name of the conversation whose side effects it guards")
        name = execution.name if isinstance(execution, Run) else execution
        declared = {one.name: declared_by(one) for one in self.catalog.all(Tool)}
        return Guard(
            self.store,
            self.namespace,
            conversation,
            execution=name,
            declarations={**declared, **(declarations or {})},
            **{"judge": tool_judge(self, execution.agent if isinstance(execution, Run) else None), **settings},
        )

    def calls(self, *, in_doubt: bool = False) -> Sequence[Json]:
        """The ledger: a `ToolCall` resource for each call; calls of dead owners are marked first."""
        return calls(self.store, self.namespace, datetime.now(UTC), in_doubt_only=in_doubt)

    def list(self, kind: str) -> builtins.list[Json]:
        """All resources of a kind, with their status."""
        return list_resources(self, kind)

    def describe(self, kind: str, name: str) -> Json:
        """One resource with its status."""
        return describe_resource(self, kind, name)

    def explain(self, execution: str) -> Explanation:
        """Why an execution went where it went.

        Raises:
            NotFound: there is no execution of this name.
        """
        events = [*self.store.events(self.namespace, Query(execution=execution))]
        if not events:
            raise NotFound(f"no execution is called {execution!r} in namespace {self.namespace!r}; see: joch get executions")
        return explain(execution, events)

    def trace(self, name: str, *, since: str | timedelta | datetime | None = None) -> builtins.list[Event]:
        """The events of a conversation or an execution, oldest first; `since` is `1h`, `30m`, `7d` or a moment.

        Raises:
            NotFound: neither a conversation nor an execution is called so.
        """
        events = [*self.events(name, since=moment(since))]
        if not events and not any(True for _ in self.events(name)):
            raise NotFound(f"no conversation or execution is called {name!r} in namespace {self.namespace!r}")
        return events

    def events(self, name: str, *, since: datetime | None = None, after: int = 0) -> Iterator[Event]:
        """The events of a conversation, else of an execution, as they are read."""
        log = conversation_log(name)
        if self.store.head(self.namespace, log).sequence:
            return self.store.events(self.namespace, Query(log=log, since=since, after=after))
        own = execution_log(name)
        if self.store.head(self.namespace, own).sequence:
            return self.store.events(self.namespace, Query(log=own, since=since, after=after))
        return self.store.events(self.namespace, Query(execution=name, since=since))

    def close(self) -> None:
        """Let go of connections and of the store."""
        self.pool.close()
        with self._lock:
            store, self._store = self._store, None
            self._conversations.clear()
        if store is not None and self._own_store:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
