"""The parts of the checkpointer contract that the official suite leaves out, in both colours."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.joch import JochSaver, StrictSerializer, TypeNotAllowed
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from joch_core import ConversationConflict, InvalidArgument, StoreError


class Thing:
    """A type of the user that nobody allowed."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def model_dump(self) -> dict:
        return {"secret": self.secret}

    def __eq__(self, other) -> bool:
        return type(other) is Thing and other.secret == self.secret

    __hash__ = None


class Cipher:
    """Reversible and different each time, as a real one is; no protection."""

    count = 0

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        Cipher.count += 1
        return "xor", bytes([Cipher.count % 251]) + bytes(one ^ 0x5A for one in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return bytes(one ^ 0x5A for one in ciphertext[1:])


class Both:
    """Drives a saver through its synchronous or its asynchronous methods."""

    def __init__(self, saver: JochSaver, colour: str) -> None:
        self.saver = saver
        self.colour = colour

    async def call(self, name: str, *args, **kwargs):
        if self.colour == "sync":
            return getattr(self.saver, name)(*args, **kwargs)
        return await getattr(self.saver, "a" + name)(*args, **kwargs)

    async def list(self, *args, **kwargs) -> list:
        if self.colour == "sync":
            return list(self.saver.list(*args, **kwargs))
        return [one async for one in self.saver.alist(*args, **kwargs)]


@pytest.fixture(params=["sync", "async"])
def both(request, make_store) -> Both:
    return Both(JochSaver(make_store()), request.param)


def config(thread: str = "t", ns: str = "", checkpoint_id: str | None = None) -> dict:
    named = {"thread_id": thread, "checkpoint_ns": ns}
    return {"configurable": named if checkpoint_id is None else {**named, "checkpoint_id": checkpoint_id}}


def checkpoint(number: int, values: dict, versions: dict) -> dict:
    return {**empty_checkpoint(), "id": f"{number:08}", "channel_values": values, "channel_versions": versions}


class Chain:
    """Puts the states of one channel `messages`, one after another."""

    def __init__(self, saver: JochSaver, thread: str = "t", first: int = 0) -> None:
        self.saver, self.number, self.version = saver, first, None
        self.at = config(thread)

    def put(self, messages: list, **metadata) -> dict:
        self.number += 1
        self.version = self.saver.get_next_version(self.version)
        versions = {"messages": self.version}
        state = checkpoint(self.number, {"messages": messages}, versions)
        self.at = self.saver.put(self.at, state, {"source": "loop", "step": self.number, **metadata}, versions)
        return self.at


def messages_of(saver: JochSaver, at: dict) -> list:
    found = saver.get_tuple(at)
    assert found is not None
    return found.checkpoint["channel_values"]["messages"]


def message(number: int, text: str = "some text that is long enough") -> HumanMessage:
    return HumanMessage(f"{text} {number}", id=f"m{number}")


# ------------------------------------------------------------------------------------------------------------- writes
async def test_pending_writes_come_in_the_order_in_which_the_run_applies_them(both: Both) -> None:
    at = await both.call("put", config(), checkpoint(1, {}, {}), {}, {})
    await both.call("put_writes", at, [("c", "third"), ("c", "fourth")], "task-a", "~2")
    await both.call("put_writes", at, [("c", "second")], "task-b", "~1")
    await both.call("put_writes", at, [("c", "first")], "task-z", "")

    found = await both.call("get_tuple", at)

    assert [value for _, _, value in found.pending_writes] == ["first", "second", "third", "fourth"]


async def test_special_writes_are_replaced_and_ordinary_ones_keep_their_first_value(both: Both) -> None:
    at = await both.call("put", config(), checkpoint(1, {}, {}), {}, {})
    for value in ("old", "new"):
        await both.call("put_writes", at, [("__error__", value)], "task")
        await both.call("put_writes", at, [("__interrupt__", value)], "task")
        await both.call("put_writes", at, [("__resume__", value)], "task")
        await both.call("put_writes", at, [("__scheduled__", value)], "task")
        await both.call("put_writes", at, [("ordinary", value)], "task")

    found = await both.call("get_tuple", at)

    assert {channel: value for _, channel, value in found.pending_writes} == {
        "__error__": "new", "__interrupt__": "new", "__resume__": "new", "__scheduled__": "new", "ordinary": "old",
    }  # fmt: skip


async def test_writes_may_come_before_their_checkpoint(both: Both) -> None:
    await both.call("put_writes", config(checkpoint_id="00000001"), [("c", [message(1)])], "task")
    at = await both.call("put", config(), checkpoint(1, {}, {}), {}, {})

    found = await both.call("get_tuple", at)

    assert found.pending_writes == [("task", "c", [message(1)])]


# ------------------------------------------------------------------------------------------------------ reading
async def test_hostile_filter_keys_are_only_names(both: Both) -> None:
    keys = ["a.b", "x') OR 1=1 --", '"quoted"', "$.path", "key with spaces", "ключ", "a[0]"]
    for number, key in enumerate(keys, start=1):
        await both.call("put", config(), checkpoint(number, {}, {}), {key: "here"}, {})

    for number, key in enumerate(keys, start=1):
        found = await both.list(config(), filter={key: "here"})
        assert [one.checkpoint["id"] for one in found] == [f"{number:08}"]
    assert await both.list(config(), filter={"1' OR '1'='1": "here"}) == []


async def test_text_with_a_zero_character_is_text(both: Both) -> None:
    values = {"plain": "a\x00b", "listed": [HumanMessage("c\x00d", id="1")]}
    versions = {"plain": "1", "listed": "1"}
    at = await both.call("put", config(), checkpoint(1, values, versions), {}, versions)
    await both.call("put_writes", at, [("w", "e\x00f")], "task")

    found = await both.call("get_tuple", at)

    assert found.checkpoint["channel_values"] == values
    assert found.pending_writes == [("task", "w", "e\x00f")]


def test_a_checkpoint_can_be_read_while_a_list_is_open(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    for number in range(30):
        chain.put([message(number)])
    seen = []

    def walk() -> None:
        for one in saver.list(config()):
            seen.append(saver.get_tuple(one.config).checkpoint["id"])
            saver.put_writes(one.config, [("c", 1)], "task")

    walker = threading.Thread(target=walk, daemon=True)
    walker.start()
    walker.join(20)

    assert not walker.is_alive()
    assert len(seen) == 30


def test_an_abandoned_list_holds_nothing(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    for number in range(30):
        chain.put([message(number)])

    abandoned = saver.list(config())
    next(abandoned)
    chain.put([message(99)])

    assert messages_of(saver, config()) == [message(99)]


async def test_a_list_is_cut_filtered_and_ordered_across_pages(both: Both) -> None:
    for number in range(1, 36):
        thread, ns = f"t{number % 2}", "" if number % 3 else "sub"
        await both.call("put", config(thread, ns), checkpoint(number, {}, {}), {"odd": number % 2 == 1}, {})

    everything = await both.list(None)
    odd = await both.list(None, filter={"odd": True}, limit=13)
    root = await both.list({"configurable": {"thread_id": "t1", "checkpoint_ns": ""}})
    any_ns = await both.list({"configurable": {"thread_id": "t1"}})
    before = await both.list({"configurable": {"thread_id": "t1"}}, before=config(checkpoint_id="00000010"), limit=2)

    assert [one.checkpoint["id"] for one in everything] == [f"{number:08}" for number in range(35, 0, -1)]
    assert [one.checkpoint["id"] for one in odd] == [f"{number:08}" for number in range(35, 9, -2)]
    assert all(one.config["configurable"]["checkpoint_ns"] == "" for one in root)
    assert len(any_ns) == 18
    assert [one.checkpoint["id"] for one in before] == ["00000009", "00000007"]


async def test_an_asynchronous_call_never_runs_in_the_loop(make_store) -> None:
    here = threading.get_ident()
    store = make_store()
    inner = store.database

    class Watched:
        engine = "sqlite"

        def writing(self):
            assert threading.get_ident() != here
            return inner.writing()

        def reading(self):
            assert threading.get_ident() != here
            return inner.reading()

    store.database = Watched()
    saver = JochSaver(store)

    at = await saver.aput(config(), checkpoint(1, {}, {}), {"run_id": "r"}, {})
    await saver.aput_writes(at, [("c", 1)], "task")
    assert await saver.aget_tuple(at) is not None
    assert [one async for one in saver.alist(config())]
    await saver.aget_delta_channel_history(config=at, channels=["c"])
    await saver.acopy_thread("t", "u")
    await saver.aprune(["t"])
    await saver.adelete_for_runs(["r"])
    await saver.adelete_thread("t")


# ------------------------------------------------------------------------------------------------------- lists
def test_every_state_of_a_list_reads_back_as_it_was(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    one = [message(number) for number in range(5)]
    states = [
        one[:1], one[:3], one,
        [*one[:2], message(2, "edited"), *one[3:]],
        one[3:], [], one[3:], [*one, AIMessage("", id="a", tool_calls=[{"name": "f", "args": {"x": [1]}, "id": "c"}])],
        [one[4], one[0], one[0]],
        [{"role": "user", "content": "a dictionary"}, None, b"bytes", 3, "x" * 100],
    ]  # fmt: skip
    places = [chain.put(list(state)) for state in states]

    for reader in (saver, JochSaver(make_store())):
        for at, state in zip(places, states, strict=True):
            assert messages_of(reader, at) == state


def test_a_list_of_any_length_reads_back_across_chains(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    growing, places = [], []
    for number in range(200):
        growing = [*growing, message(number)]
        places.append(chain.put(growing))

    fresh = JochSaver(make_store())

    for length in (1, 2, 63, 64, 65, 128, 199, 200):
        assert messages_of(fresh, places[length - 1]) == growing[:length]


def test_a_message_that_was_changed_in_place_is_stored_as_it_is_now(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    messages = [AIMessage(f"text {number}", id=f"m{number}", additional_kwargs={"deep": {"n": 0}}) for number in range(3)]
    before = chain.put(list(messages))

    messages[0].content = "rewritten"
    messages[1].additional_kwargs["deep"]["n"] = 1
    after = chain.put(list(messages))

    assert [one.content for one in messages_of(saver, after)] == ["rewritten", "text 1", "text 2"]
    assert messages_of(saver, after)[1].additional_kwargs == {"deep": {"n": 1}}
    assert [one.content for one in messages_of(saver, before)] == ["text 0", "text 1", "text 2"]


def test_an_old_message_that_a_task_returns_changed_is_stored_at_once(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    messages = [message(number) for number in range(500)]
    at = chain.put(list(messages))

    messages[7].content = "edited by a node"
    saver.put_writes(at, [("messages", [messages[7]])], "task")
    after = chain.put([*messages, message(500)])

    assert messages_of(saver, after)[7].content == "edited by a node"


def test_an_old_message_that_is_changed_in_place_and_returned_by_nobody_is_stored_some_steps_later(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    messages = [message(number) for number in range(200)]
    chain.put(list(messages))

    messages[7].content = "edited in secret"
    for number in range(200, 210):
        messages.append(message(number))
        at = chain.put(list(messages))

    assert messages_of(saver, at)[7].content == "edited in secret"


def test_what_a_reader_does_to_its_messages_stays_with_the_reader(make_store) -> None:
    saver = JochSaver(make_store())
    at = Chain(saver).put([AIMessage("text", id="1", additional_kwargs={"list": [1]})])

    messages_of(saver, at)[0].additional_kwargs["list"].append(2)

    assert messages_of(saver, at)[0].additional_kwargs == {"list": [1]}


@pytest.mark.parametrize(
    "one",
    [
        HumanMessage("text", id="1", name="Ann", additional_kwargs={"a": 1}, response_metadata={"b": [1, None]}),
        HumanMessage([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
        SystemMessage("be brief"),
        AIMessage("", tool_calls=[{"name": "f", "args": {"deep": {"x": [1.5]}}, "id": "c"}]),
        AIMessage("x", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": "no JSON"}]),
        AIMessageChunk(content="part", id="1"),
        ToolMessage("result", tool_call_id="c", status="error", artifact={"rows": [1, 2]}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_restored_message_is_the_one_that_its_constructor_makes(one) -> None:
    stored = StrictSerializer().dumps_typed([one])

    quick = StrictSerializer().loads_typed(stored)[0]
    slow = JsonPlusSerializer(allowed_msgpack_modules=None).loads_typed(stored)[0]

    assert type(quick) is type(slow)
    assert quick == slow == one
    assert quick.__dict__ == slow.__dict__
    assert quick.model_dump() == slow.model_dump()
    assert pickle.loads(pickle.dumps(quick)) == quick
    assert quick.model_copy(update={"content": "new"}).content == "new"


def test_a_message_is_stored_once_whoever_refers_to_it(make_store) -> None:
    store = make_store()
    saver = JochSaver(store)
    chain = Chain(saver)
    growing: list = []
    for number in range(50):
        at, new = chain.at, message(number)
        if number:
            saver.put_writes(at, [("messages", [new])], f"task{number}")
        growing = [*growing, new]
        chain.put(growing)

    with store.database.reading() as cursor:
        assert cursor.execute("SELECT count(*) FROM graph_item").fetchone() == (50,)


# ------------------------------------------------------------------------------------------------ forks and writers
def test_a_message_is_serialised_once_per_step(make_store) -> None:
    dumped = []

    class Counting(StrictSerializer):
        def dumps_typed(self, obj):
            dumped.append(obj)
            return super().dumps_typed(obj)

    chain = Chain(JochSaver(make_store(), serde=Counting()))
    messages: list = []
    for number in range(3):
        new = message(number)
        at = chain.at if number else config(checkpoint_id="0")
        chain.saver.put_writes(at, [("messages", [new])], f"task{number}")
        messages = [*messages, new]
        chain.put(messages)

    assert [one.id for one in dumped if isinstance(one, HumanMessage)] == ["m0", "m1", "m2"]
    assert messages_of(JochSaver(make_store()), chain.at) == messages


def test_a_message_that_changes_between_its_write_and_its_checkpoint_is_stored_as_both(make_store) -> None:
    chain, new = Chain(JochSaver(make_store())), message(1)
    chain.put([message(0)])
    chain.saver.put_writes(chain.at, [("messages", [new])], "task")
    before = chain.at

    new.content = "changed by the reducer"
    chain.put([message(0), new])

    other = JochSaver(make_store())
    assert messages_of(other, chain.at)[1].content == "changed by the reducer"
    assert other.get_tuple(before).pending_writes[0][2][0].content.startswith("some text")


async def test_forks_from_one_checkpoint_keep_their_own_states(both: Both) -> None:
    saver = both.saver
    root = await both.call(
        "put", config(), checkpoint(1, {"messages": [message(0)]}, {"messages": "1"}), {}, {"messages": "1"}
    )
    await both.call("get_tuple", root)
    version = saver.get_next_version("1")
    sibling = saver.get_next_version("1")
    left = checkpoint(2, {"messages": [message(0), message(1)]}, {"messages": version})
    right = checkpoint(3, {"messages": [message(0), message(2)]}, {"messages": sibling})
    at_left = await both.call("put", root, left, {}, {"messages": version})
    await both.call("get_tuple", root)
    at_right = await both.call("put", root, right, {}, {"messages": sibling})

    assert version != sibling
    assert (await both.call("get_tuple", at_left)).checkpoint["channel_values"]["messages"] == [message(0), message(1)]
    assert (await both.call("get_tuple", at_right)).checkpoint["channel_values"]["messages"] == [message(0), message(2)]


async def test_of_two_runs_on_one_thread_the_slower_one_is_told(both: Both, make_store) -> None:
    other = Both(JochSaver(make_store()), both.colour)
    root = await both.call("put", config(), checkpoint(1, {}, {}), {}, {})
    for one in (both, other):
        assert (await one.call("get_tuple", config())).config == root
    won = await both.call("put", root, checkpoint(2, {}, {}), {}, {})

    with pytest.raises(ConversationConflict, match="another writer"):
        await other.call("put", root, checkpoint(3, {}, {}), {}, {})

    assert [one.checkpoint["id"] for one in await both.list(config())] == ["00000002", "00000001"]
    assert (await other.call("get_tuple", config())).config == won
    await other.call("put", won, checkpoint(4, {}, {}), {}, {})


async def test_two_runs_that_both_begin_a_thread_do_not_bury_each_other(both: Both, make_store) -> None:
    other = Both(JochSaver(make_store()), both.colour)
    for one in (both, other):
        assert await one.call("get_tuple", config()) is None
    await both.call("put", config(), checkpoint(1, {}, {}), {}, {})

    with pytest.raises(ConversationConflict):
        await other.call("put", config(), checkpoint(2, {}, {}), {}, {})


def test_without_the_fence_two_writers_are_the_callers_business(make_store) -> None:
    first, second = JochSaver(make_store()), JochSaver(make_store(), fence=False)
    root = first.put(config(), checkpoint(1, {}, {}), {}, {})
    assert second.get_tuple(config()) is not None
    first.put(root, checkpoint(2, {}, {}), {}, {})

    second.put(root, checkpoint(3, {}, {}), {}, {})

    assert len(list(first.list(config()))) == 3


def test_many_threads_write_many_conversations_at_once(make_store) -> None:
    saver = JochSaver(make_store())

    def run(name: str) -> None:
        chain = Chain(saver, name)
        growing: list = []
        for number in range(20):
            growing = [*growing, message(number, name)]
            chain.put(growing)

    workers = [threading.Thread(target=run, args=(f"thread {number}",)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    for number in range(8):
        assert messages_of(saver, config(f"thread {number}")) == [message(at, f"thread {number}") for at in range(20)]


def test_the_same_checkpoint_again_replaces_it(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    for number in range(3):
        chain.put([message(number)])
    parent = config(checkpoint_id="00000002")
    state = checkpoint(3, {"messages": [message(7)]}, {"messages": "9"})

    saver.put(parent, state, {"step": 99}, {"messages": "9"})

    found = saver.get_tuple(config())
    assert found.metadata["step"] == 99
    assert found.checkpoint["channel_values"] == {"messages": [message(7)]}
    assert len(list(saver.list(config()))) == 3


def test_a_version_that_is_written_again_leaves_those_that_build_on_it_alone(make_store) -> None:
    saver = JochSaver(make_store())
    first, second = [message(1)], [message(1), message(2)]
    second[0] = first[0]
    a = saver.put(config(), checkpoint(1, {"messages": first}, {"messages": 1}), {}, {"messages": 1})
    b = saver.put(a, checkpoint(2, {"messages": second}, {"messages": 2}), {}, {"messages": 2})
    saver.put(config(), checkpoint(1, {"messages": [message(9)]}, {"messages": 1}), {}, {"messages": 1})

    assert messages_of(saver, b) == second
    assert messages_of(saver, a) == [message(9)]


@pytest.mark.parametrize("current", [None, 3, 3.5, "3", f"{3:032}.0.5", "3.1234567890123456"])
def test_the_next_version_is_above_whatever_came_before(make_store, current) -> None:
    saver = JochSaver(make_store())

    following = saver.get_next_version(current)

    assert int(following.partition(".")[0]) == (1 if current is None else 4)
    assert following != saver.get_next_version(current)


# ---------------------------------------------------------------------------------------------------------- retention
def test_pruning_keeps_the_newest_state_whole_and_frees_the_rest(make_store) -> None:
    store = make_store()
    saver = JochSaver(store)
    chain = Chain(saver)
    growing: list = []
    for number in range(100):
        growing = [*growing, message(number)]
        chain.put(growing)
    at = chain.put(growing[90:])

    saver.prune(["t"])

    assert messages_of(saver, at) == growing[90:]
    assert len(list(saver.list(config()))) == 1
    with store.database.reading() as cursor:
        assert cursor.execute("SELECT count(*) FROM graph_item").fetchone() == (10,)
        assert cursor.execute("SELECT count(*) FROM graph_version").fetchone() == (1,)
    chain.put([*growing[90:], message(200)])
    assert len(messages_of(JochSaver(make_store()), config())) == 11


def test_another_process_may_prune_between_two_steps(make_store) -> None:
    saver, other = JochSaver(make_store()), JochSaver(make_store())
    chain = Chain(saver)
    messages = [message(number) for number in range(5)]
    chain.put(list(messages))

    other.delete_thread("t")
    at = chain.put([*messages, message(5)])

    assert messages_of(other, at) == [*messages, message(5)]


def test_deleting_runs_leaves_what_later_runs_build_on(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    growing: list = []
    for number in range(10):
        growing = [*growing, message(number)]
        at = chain.put(growing, run_id="first" if number < 5 else "second")

    saver.delete_for_runs(["first"])

    assert len(list(saver.list(config()))) == 5
    assert messages_of(JochSaver(make_store()), at) == growing


def test_a_copied_thread_lives_on_its_own(make_store) -> None:
    saver = JochSaver(make_store())
    chain = Chain(saver)
    messages = [message(1), message(2)]
    chain.put(messages[:1])
    at = chain.put(messages)
    saver.put_writes(at, [("messages", [message(3)])], "task")

    saver.copy_thread("t", "u")
    saver.delete_thread("t")

    found = saver.get_tuple(config("u"))
    assert found.checkpoint["channel_values"] == {"messages": messages}
    assert found.pending_writes == [("task", "messages", [message(3)])]
    assert saver.get_tuple(config("t")) is None


@pytest.mark.parametrize("strategy", ["delete", "delete_all"])
def test_both_names_of_deleting_everything_work(make_store, strategy: str) -> None:
    saver = JochSaver(make_store())
    Chain(saver).put([message(1)])

    saver.prune(["t", "unknown"], strategy=strategy)

    assert saver.get_tuple(config()) is None


def test_an_unknown_strategy_is_refused(make_store) -> None:
    with pytest.raises(InvalidArgument, match="keep_latest"):
        JochSaver(make_store()).prune(["t"], strategy="everything")


# ---------------------------------------------------------------------------------------------------------- security
def test_a_type_that_was_not_allowed_is_refused_with_the_way_to_allow_it(make_store) -> None:
    saver = JochSaver(make_store())

    with pytest.raises(TypeNotAllowed, match=r"JochSaver\(allow=\[Thing\]\)"):
        saver.put(config(), checkpoint(1, {"x": {"in": [Thing("s")]}}, {"x": "1"}), {}, {"x": "1"})

    assert saver.get_tuple(config()) is None


def test_an_allowed_type_comes_back(make_store) -> None:
    saver = JochSaver(make_store(), allow=[Thing])

    at = saver.put(config(), checkpoint(1, {"x": Thing("s")}, {"x": "1"}), {}, {"x": "1"})

    assert saver.get_tuple(at).checkpoint["channel_values"]["x"] == Thing("s")


def test_a_stored_row_that_names_a_foreign_type_calls_nothing(make_store) -> None:
    careless = JochSaver(make_store(), serde=JsonPlusSerializer(allowed_msgpack_modules=True))
    at = careless.put(config(), checkpoint(1, {"x": Thing("s")}, {"x": "1"}), {}, {"x": "1"})

    with pytest.raises(TypeNotAllowed, match="in a stored checkpoint"):
        JochSaver(make_store()).get_tuple(at)


def test_a_pickled_row_is_never_loaded(make_store) -> None:
    with pytest.raises(NotImplementedError):
        StrictSerializer().loads_typed(("pickle", pickle.dumps(1)))
    with pytest.raises(TypeError):
        JochSaver(make_store()).put(config(), checkpoint(1, {"x": object()}, {"x": "1"}), {}, {"x": "1"})


def test_a_clone_with_more_allowed_types_shares_the_store(make_store) -> None:
    saver = JochSaver(make_store())

    clone = saver.with_allowlist([(Thing.__module__, "Thing")])
    at = clone.put(config(), checkpoint(1, {"x": Thing("s")}, {"x": "1"}), {}, {"x": "1"})

    assert clone.get_tuple(at).checkpoint["channel_values"]["x"] == Thing("s")
    assert clone.joch_store is saver.joch_store
    with pytest.raises(TypeNotAllowed):
        saver.get_tuple(at)


def test_encryption_covers_state_writes_and_metadata_and_still_stores_a_message_once(make_store, tmp_path) -> None:
    store = make_store()
    saver = JochSaver(store, serde=EncryptedSerializer(Cipher(), StrictSerializer()))
    chain = Chain(saver)
    growing: list = []
    for number in range(20):
        new = message(number, "clearly readable")
        saver.put_writes(chain.at if number else config(checkpoint_id="0"), [("messages", [new])], f"task{number}")
        growing = [*growing, new]
        at = chain.put(growing, email="ann@example.com")

    assert messages_of(saver, at) == growing
    assert saver.get_tuple(at).metadata["email"] == "ann@example.com"
    with store.database.reading() as cursor:
        assert cursor.execute("SELECT count(*) FROM graph_item").fetchone() == (20,)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"clearly readable" not in stored
    assert b"ann@example.com" not in stored


def test_a_saver_that_encrypts_reads_no_plain_rows(make_store) -> None:
    at = Chain(JochSaver(make_store())).put([message(1)])

    with pytest.raises(StoreError, match="plain text"):
        JochSaver(make_store(), serde=EncryptedSerializer(Cipher())).get_tuple(at)


def test_namespaces_do_not_see_each_other(make_store) -> None:
    Chain(JochSaver(make_store(), namespace="red")).put([message(1)])

    blue = JochSaver(make_store(), namespace="blue")

    assert blue.get_tuple(config()) is None
    assert list(blue.list(None)) == []
    blue.delete_thread("t")
    assert JochSaver(make_store(), namespace="red").get_tuple(config()) is not None


# ------------------------------------------------------------------------------------------------------------- shape
def test_the_signatures_are_those_that_langgraph_inspects() -> None:
    for name in ("put_writes", "aput_writes"):
        assert "task_path" in inspect.signature(getattr(JochSaver, name)).parameters


def test_allow_belongs_to_the_savers_own_serialiser(make_store) -> None:
    with pytest.raises(InvalidArgument):
        JochSaver(make_store(), serde=JsonPlusSerializer(), allow=[Thing])


async def test_delta_history_is_what_the_contract_says(both: Both) -> None:
    parent, places = config(), []
    for number in range(1, 6):
        values = {"seeded": ["seed"]} if number == 2 else {}
        versions = {"seeded": str(number), "bare": str(number)}
        parent = await both.call("put", parent, checkpoint(number, values, versions), {}, versions)
        await both.call("put_writes", parent, [("seeded", f"s{number}"), ("bare", f"b{number}")], "task")
        places.append(parent)

    history = await both.call("get_delta_channel_history", config=places[-1], channels=["seeded", "bare", "unknown"])

    assert history["seeded"]["seed"] == ["seed"]
    assert [value for _, _, value in history["seeded"]["writes"]] == ["s2", "s3", "s4"]
    assert [value for _, _, value in history["bare"]["writes"]] == ["b1", "b2", "b3", "b4"]
    assert history["unknown"] == {"writes": []}
    assert await both.call("get_delta_channel_history", config=places[-1], channels=[]) == {}


async def test_a_cancelled_call_leaves_the_saver_usable(make_store) -> None:
    saver = JochSaver(make_store())
    task = asyncio.create_task(saver.aput(config(), checkpoint(1, {}, {}), {}, {}))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await saver.aput(config(), checkpoint(2, {}, {}), {}, {})

    assert (await saver.aget_tuple(config())).checkpoint["id"] == "00000002"
