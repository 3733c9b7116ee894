"""`JochSaver`: LangGraph's checkpointer contract, translated to the shelf of graph threads of a Joch store.

Synchronous methods do the work, one transaction each; the asynchronous twins run them in a worker thread, so that no event loop
waits for a disk. What is stored and how it stays small is the shelf's business (`joch_core.Threads`), what an item is that of `items.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.joch import importing
from langgraph.checkpoint.joch.codec import Codec, write_at
from langgraph.checkpoint.joch.delta import delta_history
from langgraph.checkpoint.joch.items import Blob, written
from langgraph.checkpoint.joch.pruning import needed
from langgraph.checkpoint.joch.serde import Allowed, StrictSerializer
from langgraph.checkpoint.joch.shelf import Shelf, StoreLike
from langgraph.checkpoint.joch.vault import KeyLike
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from joch_core import GraphCheckpoint, GraphThread, GraphWrite, InvalidArgument, StoredCheckpoint, Threads

_PAGE = 10
_NOTHING = ("null", b"")
_END = object()


def _lane(config: RunnableConfig) -> str:
    return str(config["configurable"].get("checkpoint_ns") or "")


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _config(thread: str, lane: str, checkpoint: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": lane, "checkpoint_id": checkpoint}}


class JochSaver(BaseCheckpointSaver[str]):
    """A LangGraph checkpointer on a Joch store.

    Args:
        store: A store's URL (`sqlite:///agents.db`, `postgresql://…`) or an open store. Default: `JOCH_STORE`, else the file under
            `JOCH_HOME`. Nothing is opened before the first use.
        serde: Another serialiser; it is used for everything that is stored.
        allow: Types besides LangChain's and LangGraph's own that may stand in the state. Not together with `serde`.
        fence: Refuse the checkpoint of a run whose thread another run has moved on (`ConversationConflict`).
        namespace: Whose threads these are; default `JOCH_NAMESPACE`, else `default`.
        encrypt: Encrypt everything that is stored (AES-256-GCM): `env:NAME` (a variable that holds 32 random bytes as base64 or
            hex), `secret:NAME` (a `Secret` of Joch), or 32 bytes. Of several the first encrypts and all decrypt. Plain rows are
            refused then. Needs the extra `encryption`.

    Raises:
        InvalidArgument: options that exclude each other, or no encryption key; a key is never part of the message.
    """

    def __init__(
        self,
        store: StoreLike | str | None = None,
        *,
        serde: SerializerProtocol | None = None,
        allow: Iterable[Allowed] = (),
        fence: bool = True,
        namespace: str | None = None,
        encrypt: KeyLike | Sequence[KeyLike] = (),
    ) -> None:
        allowed = tuple(allow)
        if serde is not None and allowed:
            raise InvalidArgument("`allow` belongs to the saver's own serialiser; tell yours which types it may load")
        super().__init__(serde=serde or StrictSerializer(allowed))
        if encrypt and isinstance(serde, EncryptedSerializer):
            raise InvalidArgument("`encrypt` and an EncryptedSerializer would encrypt twice; choose one")
        self.fence = fence
        self._shelf = Shelf(
            store, namespace, (encrypt,) if isinstance(encrypt, str | bytes) else encrypt
        )  # shared by the copies that `with_allowlist` makes

    @classmethod
    def from_conn_string(cls, url: str, **options: Any) -> Self:
        """A saver on the store at `url`: usable at once, and a context manager (sync or async) that closes it."""
        return cls(url, **options)

    # ------------------------------------------------------------------------------------------------- open and close
    def setup(self) -> None:
        """Open the store and make its tables. Called by the first use; calling it early or twice does no harm."""
        self._shelf.threads()

    async def asetup(self) -> None:
        """`setup` in a worker thread."""
        await asyncio.to_thread(self.setup)

    def close(self) -> None:
        """Close the store, if this saver opened it. May be called twice."""
        self._shelf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def joch_store(self) -> StoreLike:
        """The store itself: how a chat model that runs in this graph finds it, also through a wrapper."""
        return self._shelf.store()

    @property
    def graph_threads(self) -> Threads:
        """The shelf of graph threads in that store."""
        return self._shelf.threads()

    @property
    def codec(self) -> Codec:
        """What turns values into what that shelf holds, and back."""
        return Codec(self.serde, self._shelf.memory, self._shelf.vault())

    # -------------------------------------------------------------------------------------------------------- reading
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """One checkpoint: the named one, else the newest of its thread and namespace; None if there is none."""
        thread, lane, wanted = _thread(config), _lane(config), get_checkpoint_id(config)
        stored = self.graph_threads.get(thread, lane, wanted)
        if wanted is None:
            self._shelf.heads.read(thread, lane, None if stored is None else stored.snapshot.checkpoint)
        else:
            self._shelf.heads.named(thread, lane, wanted)
        return None if stored is None else self._tuple(stored, note=True)

    def _tuple(self, stored: StoredCheckpoint, *, note: bool = False) -> CheckpointTuple:
        snapshot, codec = stored.snapshot, self.codec
        body = codec.body(stored.thread, snapshot)
        values: dict[str, Any] = dict.fromkeys(snapshot.nulls)
        for channel, content in stored.contents.items():
            values[channel] = codec.load_channel(stored.thread, snapshot, channel, content, stored.items, note=note)
        return CheckpointTuple(
            _config(stored.thread, snapshot.lane, snapshot.checkpoint),
            cast(
                "Checkpoint",
                {
                    **body,
                    "channel_versions": dict(snapshot.versions),
                    "channel_values": values,
                },
            ),
            codec.metadata(stored.thread, snapshot),
            None if snapshot.parent is None else _config(stored.thread, snapshot.lane, snapshot.parent),
            [
                (write.task, write.channel, codec.load_write(stored.thread, snapshot, write, stored.items))
                for write in stored.writes
            ],
        )

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the name is the contract's
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first: of a thread (and namespace, if named), or of all threads; `filter` is equality of metadata."""
        for page in self._pages(config, filter, before, limit):
            yield from page

    def _pages(
        self,
        config: RunnableConfig | None,
        wanted: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[Sequence[CheckpointTuple]]:
        """The checkpoints of `list`, some at a time; no transaction is open while a page is out."""
        named = {} if config is None else config["configurable"]
        after: StoredCheckpoint | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None or wanted else min(left, _PAGE)
            rows = self.graph_threads.page(
                thread=None if "thread_id" not in named else str(named["thread_id"]),
                lane=named.get("checkpoint_ns"),
                checkpoint=None if config is None else get_checkpoint_id(config),
                before=None if before is None else get_checkpoint_id(before),
                after=after,
                limit=size,
            )
            chosen = [row for row in rows if not wanted or self._matches(row, wanted)][:left]
            for row in chosen:
                self._shelf.heads.listed(row.thread, row.snapshot.lane, row.snapshot.checkpoint)
            yield [self._tuple(one) for one in self.graph_threads.filled(chosen)]
            if len(rows) < size:
                return
            after = rows[-1]
            left = None if left is None else left - len(chosen)

    def _matches(self, stored: StoredCheckpoint, wanted: Mapping[str, Any]) -> bool:
        metadata = self.codec.metadata(stored.thread, stored.snapshot)
        return all(metadata.get(name) == value for name, value in wanted.items())

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Per channel the writes of all ancestors, oldest first, back to the nearest one that holds a value (the seed)."""
        threads = self.graph_threads
        target = threads.get(_thread(config), _lane(config), get_checkpoint_id(config), channels=()) if channels else None
        return delta_history(threads, self.codec, target, channels)

    # -------------------------------------------------------------------------------------------------------- writing
    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Store a checkpoint; `config` names its parent. The same id again replaces it.

        Raises:
            ConversationConflict: another run has moved the thread on since this one read it; nothing was written.
            TypeNotAllowed: the state holds a type that may not be loaded again; nothing was written.
        """
        thread, lane, parent = _thread(config), _lane(config), get_checkpoint_id(config)
        codec = self.codec
        body = {name: value for name, value in checkpoint.items() if name not in {"channel_values", "channel_versions"}}
        about = get_serializable_checkpoint_metadata(config, metadata)
        state, versions = checkpoint["channel_values"], checkpoint["channel_versions"] | new_versions
        run = about.get("run_id")
        nulls = tuple(channel for channel, value in state.items() if value is None and channel in versions)
        bare = GraphCheckpoint(
            lane, checkpoint["id"], parent, versions, _NOTHING, _NOTHING, nulls, None if run is None else str(run)
        )
        snapshot = codec.snapshot(thread, bare, body, about)
        fenced = self.fence and self._shelf.heads.is_newest(thread, lane, parent)
        values = {channel: state[channel] for channel in new_versions if state.get(channel) is not None}
        dump = codec.dumper(thread, self.graph_threads)
        change = codec.change(thread, lane, values, new_versions, dump)
        if not self.graph_threads.put(thread, snapshot, change.contents, change.items, fenced=fenced):
            self._shelf.memory.forget(thread)  # somebody pruned what our lists build on
            change = codec.change(thread, lane, values, new_versions, dump)
            self.graph_threads.put(thread, snapshot, change.contents, change.items, fenced=fenced)
        for place, track in change.tracks.items():
            self._shelf.memory.note(place, track, written=True)
        self._shelf.memory.untouch(thread, lane, change.touched)
        self._shelf.heads.wrote(thread, lane, checkpoint["id"], after=parent)
        return _config(thread, lane, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, before the checkpoint that will contain it. Safe to repeat."""
        self.keep_writes(
            config,
            [(WRITES_IDX_MAP.get(name, at), name, value) for at, (name, value) in enumerate(writes)],
            task_id,
            task_path,
        )

    def keep_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[int, str, Any]], task_id: str, task_path: str
    ) -> None:
        """`put_writes` where the positions are known already: writes are (position, channel, value)."""
        thread, lane, checkpoint, codec = (
            _thread(config),
            _lane(config),
            config["configurable"]["checkpoint_id"],
            self.codec,
        )
        dump = codec.dumper(thread, self.graph_threads)
        items: dict[bytes, Blob] = {}
        seen = written((value for _, _, value in writes), items, dump)
        rows = []
        for position, channel, value in writes:
            where = write_at(thread, lane, checkpoint, (task_id, position, task_path, channel))
            rows.append(GraphWrite(task_id, position, task_path, channel, codec.write(value, where, items, dump, seen)))
        self._shelf.memory.touch(thread, lane, seen)
        self.graph_threads.put_writes(thread, lane, checkpoint, rows, items)

    def get_next_version(self, current: str | float | None, channel: None = None) -> str:  # noqa: ARG002
        """A version above `current`, whoever made that one. The random part keeps the versions of sibling forks apart."""
        number = 0 if current is None else int(str(current).partition(".")[0])
        return f"{number + 1:032}.{random.getrandbits(32):08x}"

    # -------------------------------------------------------------------------------------------------- whole threads
    def delete_thread(self, thread_id: str) -> None:
        """Delete everything of a thread, in all namespaces."""
        self.graph_threads.delete(str(thread_id))
        self._shelf.forget(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints whose metadata names one of these runs, with their pending writes."""
        self.graph_threads.delete_runs(map(str, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with its whole history; the ids of the checkpoints stay the same."""
        if self._shelf.vault() is None:
            self.graph_threads.copy(str(source_thread_id), str(target_thread_id))
        else:  # what is encrypted is bound to its thread
            importing.copy_thread(self, self, str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Shorten threads.

        Args:
            thread_ids: The threads; unknown ones are passed over.
            strategy: `keep_latest` keeps the newest checkpoint of each namespace, and what its delta channels are built from;
                the namespaces of finished subgraph calls go. `delete` (or `delete_all`) removes everything.
        """
        if strategy not in {"keep_latest", "delete", "delete_all"}:
            raise InvalidArgument(f"unknown strategy {strategy!r}: use 'keep_latest' or 'delete'")
        for thread in map(str, thread_ids):
            if strategy == "keep_latest":
                self.graph_threads.keep_only(thread, needed(self.graph_threads, self.codec, thread))
                self._shelf.forget(thread)
            else:
                self.delete_thread(thread)

    def threads(self) -> Sequence[GraphThread]:
        """Every thread by name: how many checkpoints it has, the id of the newest one, and when that was written."""
        return self.graph_threads.summaries()

    def expire(self, older_than: timedelta, *, strategy: str = "delete") -> Sequence[str]:
        """Shorten (`prune`) the threads whose newest checkpoint is older than that, each as a whole; the names of these threads.

        A thread whose checkpoint ids hold no time (they are not LangGraph's) stays.
        """
        bound = datetime.now(UTC) - older_than
        old = [one.thread for one in self.threads() if one.updated is not None and one.updated < bound]
        self.prune(old, strategy=strategy)
        return old

    # ------------------------------------------------------------------------------------- the same in a worker thread
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """`get_tuple` in a worker thread."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the name is the contract's
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """`list`, each page in a worker thread."""
        pages = self._pages(config, filter, before, limit)
        while (page := await asyncio.to_thread(next, pages, _END)) is not _END:
            for one in cast("Sequence[CheckpointTuple]", page):
                yield one

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """`put` in a worker thread."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """`put_writes` in a worker thread."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """`get_delta_channel_history` in a worker thread."""
        return await asyncio.to_thread(self.get_delta_channel_history, config=config, channels=channels)

    async def adelete_thread(self, thread_id: str) -> None:
        """`delete_thread` in a worker thread."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """`delete_for_runs` in a worker thread."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """`copy_thread` in a worker thread."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """`prune` in a worker thread."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)
