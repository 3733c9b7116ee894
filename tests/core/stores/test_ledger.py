import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from joch_core.errors import CallInProgress, InvalidArgument, KeyConflict, NotExecuted, NotFound, OutcomeUnknown
from joch_core.messages import Message, ToolCall, message_to_json
from joch_core.resources.commits import Claim, Commit
from joch_core.resources.events import Draft, conversation_log
from joch_core.resources.tools import ToolDeclaration, tool
from joch_core.stores import open_store
from joch_core.stores.base import Query
from joch_core.stores.ledger import Guard, calls, current_key, resolve

NS = "default"


def now():
    return datetime.now(UTC)


class World:
    """The store, one conversation, and what has happened outside."""

    def __init__(self, store):
        self.store = store
        self.effects = []

    def guard(self, conversation="conv", **options):
        return Guard(self.store, NS, conversation, **options)

    def say(self, *messages, conversation="conv"):
        drafts = tuple(Draft("MessageAdded", {"message": message_to_json(message)}) for message in messages)
        self.store.commit(NS, Commit(conversation_log(conversation), drafts), now())

    def note(self, type_, **payload):
        self.store.commit(NS, Commit(conversation_log("conv"), (Draft(type_, payload),)), now())

    def plan(self, *planned):
        self.say(Message.assistant([ToolCall(call_id, name, args) for call_id, name, args in planned]))

    def events(self, *types):
        return [(event.type, event.payload) for event in self.store.events(NS, Query(log="conversation/conv", types=types))]

    def tool(self, *, result=None, error=None, **declared):
        def create_ticket(subject: str, body: str = "-"):
            self.effects.append((subject, body))
            if error is not None:
                raise error
            return {"number": len(self.effects)} if result is None else result

        return tool(**declared)(create_ticket) if declared else create_ticket


@pytest.fixture
def world(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/ledger.db")
    yield World(store)
    store.close()


def test_the_first_call_runs_and_a_second_one_gets_its_result(world):
    create = world.tool(effect="external_write")

    first = world.guard().run(create, {"subject": "a"})
    second = world.guard().run(create, {"subject": "a"})

    assert first.value == second.value == {"number": 1}
    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert first.key == second.key
    assert len(world.effects) == 1


def test_two_durable_writes_are_made_for_an_effect_and_none_for_a_read(world):
    world.guard().call(world.tool(effect="external_write"), {"subject": "a"})
    world.guard("other").call(world.tool(effect="read"), {"subject": "a"})

    assert [type_ for type_, _ in world.events()] == ["ToolCallRequested", "ToolCallCompleted"]
    assert list(world.store.logs(NS, "")) == ["conversation/conv"]


def test_a_read_runs_each_time(world):
    lookup = world.tool(effect="read_only")

    world.guard().call(lookup, {"subject": "a"})
    world.guard().call(lookup, {"subject": "a"})

    assert len(world.effects) == 2


def test_a_default_that_is_left_out_is_the_same_call_as_one_that_is_given(world):
    create = world.tool(effect="external_write")

    world.guard().call(create, {"subject": "a"})
    world.guard().call(create, {"body": "-", "subject": "a"})

    assert len(world.effects) == 1


def test_arguments_that_do_not_fit_start_nothing_and_leave_nothing(world):
    with pytest.raises(InvalidArgument, match="subject"):
        world.guard().call(world.tool(effect="external_write"), {"title": "a"})

    assert world.effects == []
    assert world.events() == []


def test_a_new_turn_of_the_user_is_a_new_occasion(world):
    create = world.tool(effect="communication")
    world.say(Message.user("send it"))
    world.guard().call(create, {"subject": "a"})
    world.guard().call(create, {"subject": "a"})
    world.say(Message.user("send it again"))

    world.guard().call(create, {"subject": "a"})

    assert len(world.effects) == 2


def test_the_same_call_twice_in_one_turn_is_two_effects_also_after_a_switch(world):
    add_item = world.tool(effect="external_write")
    world.say(Message.user("two of these"))
    world.plan(
        ("c00000001", "create_ticket", {"subject": "a"}), ("c00000002", "create_ticket", {"subject": "a", "body": "-"})
    )
    for call_id in ("c00000001", "c00000002"):
        world.guard().call(add_item, {"subject": "a"}, call_id=call_id)
    world.note("ProviderSwitched", fromProvider="a", toProvider="b", reason="overloaded")
    world.plan(("c00000003", "create_ticket", {"subject": "a"}), ("c00000004", "create_ticket", {"subject": "a"}))

    again = [world.guard().call(add_item, {"subject": "a"}, call_id=call_id) for call_id in ("c00000003", "c00000004")]

    assert len(world.effects) == 2
    assert again == [{"number": 1}, {"number": 2}]


def test_a_call_of_an_earlier_turn_that_runs_late_belongs_to_its_own_turn(world):
    create = world.tool(effect="external_write")
    world.say(Message.user("do it"))
    world.plan(("c00000001", "create_ticket", {"subject": "a"}))
    world.guard().call(create, {"subject": "a"}, call_id="c00000001")
    world.say(Message.user("well?"))

    assert world.guard().run(create, {"subject": "a"}, call_id="c00000001").deduplicated


def test_an_undeclared_tool_may_poll_in_the_same_stretch(world):
    check_status = world.tool()
    world.say(Message.user("wait for it"))
    for number in range(3):
        call_id = f"c0000000{number}"
        world.plan((call_id, "create_ticket", {"subject": "a"}))
        world.guard().call(check_status, {"subject": "a"}, call_id=call_id)

    assert len(world.effects) == 3


def test_an_undeclared_tool_is_not_repeated_across_a_switch(world):
    create = world.tool()
    world.say(Message.user("go"))
    world.plan(("c00000001", "create_ticket", {"subject": "a"}))
    world.guard().call(create, {"subject": "a"}, call_id="c00000001")
    world.note("ProviderSwitched", fromProvider="a", toProvider="b", reason="overloaded")
    world.plan(("c00000002", "create_ticket", {"subject": "a"}))

    first = world.guard().run(create, {"subject": "a"}, call_id="c00000002")
    world.plan(("c00000003", "create_ticket", {"subject": "a"}))
    second = world.guard().run(create, {"subject": "a"}, call_id="c00000003")

    assert (first.deduplicated, second.deduplicated) == (True, False)
    assert len(world.effects) == 2


def test_an_undeclared_tool_is_not_repeated_when_the_framework_retries_the_same_call(world):
    create = world.tool()

    world.guard().call(create, {"subject": "a"}, call_id="c00000001")
    world.guard().call(create, {"subject": "a"}, call_id="c00000001")

    assert len(world.effects) == 1


@pytest.mark.parametrize(("repeat", "times"), [("once_per_conversation", 1), ("always", 3), ("per_epoch", 3)])
def test_repeat_says_how_often(world, repeat, times):
    pay = world.tool(effect="financial", repeat=repeat)

    for number in range(3):
        world.say(Message.user("pay"))
        world.guard().call(pay, {"subject": "a"}, call_id=f"c0000000{number}")

    assert len(world.effects) == times


def test_conversations_and_namespaces_do_not_share_effects(world):
    create = world.tool(effect="external_write")

    world.guard().call(create, {"subject": "a"})
    world.guard("other").call(create, {"subject": "a"})
    Guard(world.store, "elsewhere", "conv").call(create, {"subject": "a"})

    assert len(world.effects) == 3


def test_a_tools_own_exception_reaches_its_first_caller_and_later_ones_are_refused(world):
    create = world.tool(effect="external_write", error=ValueError("boom"))

    with pytest.raises(ValueError, match="boom"):
        world.guard().call(create, {"subject": "a"})
    with pytest.raises(OutcomeUnknown) as unknown:
        world.guard().call(create, {"subject": "a"})

    assert len(world.effects) == 1
    row = calls(world.store, NS, now(), in_doubt_only=True)[0]
    assert row["metadata"]["name"] == unknown.value.key
    assert row["status"]["phase"] == "Unknown"
    assert row["status"]["error"] == "ValueError: boom"


def test_doubt_holds_in_every_later_turn_until_it_is_resolved(world):
    create = world.tool(effect="external_write", error=ValueError("boom"))
    with pytest.raises(ValueError):
        world.guard().call(create, {"subject": "a"})
    world.say(Message.user("again"))
    with pytest.raises(OutcomeUnknown) as unknown:
        world.guard().call(create, {"subject": "a"})

    resolve(world.store, NS, unknown.value.key, "done", now(), result={"number": 7})

    assert world.guard().call(world.tool(effect="external_write"), {"subject": "a"}) == {"number": 2}
    assert len(world.effects) == 2


@pytest.mark.parametrize("error", [NotExecuted(), ConnectionRefusedError("no")])
def test_what_is_known_not_to_have_happened_may_run_again(world, error):
    failing = world.tool(effect="external_write", error=error, errors_before_effect=(ConnectionRefusedError,))
    with pytest.raises(type(error)):
        world.guard().call(failing, {"subject": "a"})

    outcome = world.guard().run(world.tool(effect="external_write"), {"subject": "a"})

    assert (outcome.attempt, outcome.deduplicated) == (2, False)
    assert len(world.effects) == 2


def test_an_idempotent_tool_runs_again_after_an_error_with_the_same_key(world):
    keys = []

    @tool(effect="external_write", idempotent=True)
    def put(value: int, *, joch_key: str):
        keys.append((joch_key, current_key()))
        if len(keys) == 1:
            raise TimeoutError
        return value

    with pytest.raises(TimeoutError):
        world.guard().call(put, {"value": 1})

    assert world.guard().call(put, {"value": 1}) == 1
    assert len(set(keys)) == 1
    assert keys[0][0] == keys[0][1]
    assert current_key() is None


def test_resolved_done_gives_the_result_and_not_done_lets_it_run_again(world):
    failing = world.tool(effect="external_write", error=ValueError("boom"))
    working = world.tool(effect="external_write")
    for subject in "ab":
        with pytest.raises(ValueError):
            world.guard().call(failing, {"subject": subject})
    first, second = (row["metadata"]["name"] for row in calls(world.store, NS, now(), in_doubt_only=True))

    resolve(world.store, NS, first, "done", now(), result={"number": 42})
    resolve(world.store, NS, second, "not_done", now())

    assert world.guard().run(working, {"subject": "a"}).value == {"number": 42}
    assert world.guard().run(working, {"subject": "b"}).attempt == 2
    assert len(world.effects) == 3
    with pytest.raises(InvalidArgument, match="not in doubt"):
        resolve(world.store, NS, first, "done", now())
    with pytest.raises(NotFound):
        resolve(world.store, NS, "nobody", "done", now())


@pytest.mark.parametrize(
    ("answer", "value", "effects"), [({"number": 9}, {"number": 9}, 1), (True, None, 1), (False, {"number": 2}, 2)]
)
def test_verify_is_asked_about_a_call_in_doubt(world, answer, value, effects):
    with pytest.raises(ValueError):
        world.guard().call(world.tool(effect="external_write", error=ValueError()), {"subject": "a"})

    create = world.tool(effect="external_write", verify=lambda args, key: answer)

    assert world.guard().call(create, {"subject": "a"}) == value
    assert len(world.effects) == effects


def test_a_verify_that_cannot_tell_leaves_the_doubt(world):
    with pytest.raises(ValueError):
        world.guard().call(world.tool(effect="external_write", error=ValueError()), {"subject": "a"})

    with pytest.raises(OutcomeUnknown):
        world.guard().call(world.tool(effect="external_write", verify=lambda subject: None), {"subject": "a"})


def test_a_key_of_the_users_own_takes_the_place_of_the_arguments(world):
    create = world.tool(effect="external_write", key="ticket-{{ args.subject | trim | lower }}", ignore=["body", "subject"])

    world.guard().call(create, {"subject": " Printer", "body": "1"})
    world.guard().call(create, {"subject": "printer ", "body": "2"})

    assert len(world.effects) == 1


def test_the_same_key_with_other_arguments_is_a_conflict(world):
    create = world.tool(effect="external_write", key="ticket-{subject}")
    world.guard().call(create, {"subject": "a", "body": "1"})

    with pytest.raises(KeyConflict) as conflict:
        world.guard().call(create, {"subject": "a", "body": "2"})

    assert conflict.value.key
    assert len(world.effects) == 1


def test_redacted_fields_and_keys_are_not_stored(world):
    create = world.tool(
        effect="external_write", redact=["body"], result={"body": "secret text", "token": "sk-abcdefgh12345678"}
    )

    value = world.guard().call(create, {"subject": "a", "body": "secret text"})

    assert value["body"] == "secret text"
    stored = str(calls(world.store, NS, now())) + str(world.events())
    assert "secret text" not in stored
    assert "sk-abcdefgh" not in stored


def test_a_result_of_any_kind_is_recorded(world):
    odd = {"when": datetime(2026, 1, 1, tzinfo=UTC), 1: {2, 3}, "nan": float("nan"), "text": "\ud800", "it": object}

    value = world.guard().call(world.tool(effect="external_write", result=odd), {"subject": "\ud800"})

    assert value["1"] == [2, 3]
    assert len(calls(world.store, NS, now())) == 1


def test_of_many_threads_one_runs_and_the_others_get_its_result(world):
    entered = threading.Barrier(8)
    out = []

    @tool(effect="external_write")
    def slow(x: int):
        world.effects.append(x)
        time.sleep(0.1)
        return {"ran": threading.get_ident()}

    def work():
        entered.wait()
        out.append(world.guard().run(slow, {"x": 1}))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(world.effects) == 1
    assert len({outcome.value["ran"] for outcome in out}) == 1
    assert sum(outcome.deduplicated for outcome in out) == 7


def test_whoever_waits_too_long_is_told_so(world):
    @tool(effect="external_write")
    def outer():
        with pytest.raises(CallInProgress):
            world.guard(wait_s=0.02).call(outer, {})
        return "done"

    assert world.guard().call(outer, {}) == "done"


def test_an_owner_whose_lease_is_over_leaves_a_doubt_and_may_complete_late(world):
    @tool(effect="external_write")
    def slow():
        future = now() + timedelta(days=1)
        with pytest.raises(OutcomeUnknown):
            world.guard(clock=lambda: future).call(slow, {})
        return "late"

    assert world.guard().call(slow, {}) == "late"
    assert world.guard().run(slow, {}).value == "late"
    assert [payload["phase"] for _, payload in world.events("ToolCallCompleted")] == ["Unknown", "Succeeded", "Succeeded"]


def test_a_zombie_does_not_overwrite_what_was_decided_meanwhile(world):
    @tool(effect="external_write")
    def slow():
        future = now() + timedelta(days=1)
        with pytest.raises(OutcomeUnknown) as unknown:
            world.guard(clock=lambda: future).call(slow, {})
        resolve(world.store, NS, unknown.value.key, "done", now(), result="by hand")
        return "zombie"

    with pytest.raises(OutcomeUnknown):
        world.guard().call(slow, {})

    assert world.guard().call(slow, {}) == "by hand"


def test_a_dead_owner_on_this_host_is_noticed_at_once(world):
    create = world.tool(effect="external_write")
    guard = world.guard()
    guard.run(create, {"subject": "a"})
    claim = world.store.claims(NS)[0]
    host, boot, _, _ = claim.owner.split(":")
    dead = Claim(
        claim.key, "started", claim.value, "conv", f"{host}:{boot}:999999999:1", now().timestamp() + 999, claim.version + 1
    )
    world.store.commit(NS, Commit("conversation/conv", swaps=(dead,)), now())

    assert [row["status"]["phase"] for row in calls(world.store, NS, now())] == ["Unknown"]
    with pytest.raises(OutcomeUnknown):
        guard.call(create, {"subject": "a"})


async def test_an_asynchronous_tool_is_awaited_and_knows_its_key(world):
    @tool(effect="external_write")
    async def send(text: str):
        await asyncio.sleep(0)
        world.effects.append(current_key())
        return text

    first = await world.guard().arun(send, {"text": "a"})
    second = await world.guard().arun(send, {"text": "a"})

    assert (first.value, second.value) == ("a", "a")
    assert world.effects == [first.key]


async def test_a_plain_tool_does_not_hold_the_loop(world):
    @tool(effect="external_write")
    def slow():
        time.sleep(0.1)
        return current_key()

    task = asyncio.create_task(world.guard().arun(slow, {}))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1

    assert ticks >= 5
    assert task.result().value == task.result().key


async def test_a_cancelled_effect_is_in_doubt(world):
    started = asyncio.Event()

    @tool(effect="external_write")
    async def hang():
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(world.guard().arun(hang, {}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(OutcomeUnknown):
        await world.guard().acall(hang, {})


def test_an_asynchronous_tool_is_refused_by_the_plain_door_before_it_starts(world):
    @tool(effect="external_write")
    async def send(): ...

    with pytest.raises(InvalidArgument, match="acall"):
        world.guard().call(send, {})
    assert world.events() == []


def test_a_framework_runs_the_tool_in_its_own_way(world):
    class Interrupted(Exception):
        pass

    def interrupt():
        raise Interrupted

    declared = ToolDeclaration("send", repeat="per_epoch")
    guard = world.guard(
        encode=lambda value: {"wrapped": str(value)}, decode=lambda value: int(value["wrapped"]), release_on=(Interrupted,)
    )
    with pytest.raises(Interrupted):
        guard.run(declared, {"x": 1}, execute=interrupt)

    first = guard.run(declared, {"x": 1}, execute=lambda: 5)
    second = guard.run(declared, {"x": 1}, execute=lambda: 6)

    assert (first.value, first.attempt) == (5, 2)
    assert (second.value, second.deduplicated) == (5, True)


def test_the_events_say_what_was_called_and_what_came_of_it(world):
    world.say(Message.user("go"))
    world.plan(("c00000001", "create_ticket", {"subject": "a"}))
    outcome = world.guard(execution="exec-20260101-001").run(
        world.tool(effect="financial"), {"subject": "a"}, call_id="c00000001"
    )

    (_, requested), (_, completed) = world.events("ToolCallRequested", "ToolCallCompleted")
    assert requested["key"] == completed["key"] == outcome.key
    assert (requested["tool"], requested["epoch"], requested["attempt"]) == ("create_ticket", 1, 1)
    assert requested["args"] == {"subject": "a", "body": "-"}
    assert (completed["callId"], completed["phase"], completed["output"]) == ("c00000001", "Succeeded", {"number": 1})
    row = calls(world.store, NS, now())[0]
    assert row["spec"]["sideEffects"] == {"level": "financial", "idempotent": False, "idempotencyKey": outcome.key}
    assert row["spec"]["executionRef"] == {"name": "exec-20260101-001"}


def test_the_row_is_a_resource_of_kind_tool_call(world):
    from joch_core.resources.state import ToolCall as Resource

    world.guard().call(world.tool(effect="financial"), {"subject": "a"})

    Resource.model_validate(calls(world.store, NS, now())[0])
