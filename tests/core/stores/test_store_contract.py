"""What every store must do, whichever engine it stands on."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joch_core.errors import ConversationConflict, InvalidArgument
from joch_core.resources.commits import Claim, Commit, Head, Hold, Record, Settle
from joch_core.resources.events import GENESIS, Draft
from joch_core.stores.base import Query

NS = "default"
AT = datetime(2026, 5, 10, 12, tzinfo=UTC)
LOG = "conversation/conv"
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(store, *drafts, log=LOG, namespace=NS, at=AT, **more):
    return store.commit(namespace, Commit(log, drafts, **more), at)


def test_an_unknown_log_stands_at_nothing(store):
    assert store.head(NS, LOG) == Head(0, GENESIS, 0)
    assert list(store.events(NS, Query(log=LOG))) == []
    assert store.verify(NS, LOG) is None


def test_what_was_committed_is_read_back_equal(store):
    draft = Draft(
        "GoalSet", {"text": "Zürich \x00 \ud800", "n": [1, 2.5, None, True]}, "exec-1", "t", "s", "agent", "frame", "a:b"
    )

    committed = put(store, draft, Draft("TaskSet"))

    assert tuple(store.events(NS, Query(log=LOG))) == committed.events
    assert [event.sequence for event in committed.events] == [1, 2]
    assert committed.events[0].payload == draft.payload
    assert store.head(NS, LOG).hash == committed.events[-1].hash
    assert store.verify(NS, LOG) is None


@EXAMPLES
@given(
    payloads=st.lists(
        st.dictionaries(
            st.text(),
            st.one_of(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.lists(st.text())),
        ),
        max_size=5,
    )
)
def test_the_hash_chain_holds_for_any_payload(store, payloads):
    log = f"conversation/{uuid.uuid4()}"

    put(store, *(Draft("GoalSet", payload) for payload in payloads), log=log)

    assert store.verify(NS, log) is None


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE joch_event SET payload = '{\"n\":9}' WHERE sequence = 2", 2),
        ("UPDATE joch_event SET type = 'TaskSet' WHERE sequence = 1", 1),
        ("DELETE FROM joch_event WHERE sequence = 2", 3),
        ("DELETE FROM joch_event WHERE sequence = 3", 3),
    ],
)
def test_any_edit_of_the_log_is_seen(store, sql, broken):
    put(store, *(Draft("GoalSet", {"n": number}) for number in range(3)))

    with store.database.writing() as cursor:
        cursor.execute(sql)

    assert store.verify(NS, LOG) == broken
    assert any("conversation/conv" in problem for problem in store.check())


def test_the_fence_lets_one_of_two_writers_through(store):
    put(store, Draft("MessageAdded"), turn=0)

    with pytest.raises(ConversationConflict):
        put(store, Draft("MessageAdded"), turn=0)

    assert store.head(NS, LOG).turn == store.head(NS, LOG).sequence == 1


def test_drafts_without_a_fence_do_not_move_the_turn(store):
    put(store, Draft("MessageAdded"), turn=0)
    put(store, Draft("ToolCallRequested"))

    put(store, Draft("MessageAdded"), turn=1)

    assert store.head(NS, LOG).turn == 3


def test_a_commit_that_is_refused_has_written_nothing(store):
    put(store, claims=(Claim("taken", "started", {"by": "first"}),))

    refused = put(
        store, Draft("GoalSet"), claims=(Claim("free", "started", {}), Claim("taken", "started", {"by": "second"})),
        records=(Record("Model", "m", {}),), open_execution="20260510",
    )  # fmt: skip

    assert refused.refused.value == {"by": "first"}
    assert (refused.events, refused.execution) == ((), None)
    assert store.head(NS, LOG).sequence == 0
    assert store.claim(NS, "free") is None
    assert store.records(NS) == []
    assert put(store, Draft("ExecutionCreated"), open_execution="20260510").execution == "exec-20260510-001"


def test_a_conflict_has_written_nothing(store):
    put(store, Draft("MessageAdded"), turn=0)

    with pytest.raises(ConversationConflict):
        put(store, Draft("MessageAdded"), turn=0, claims=(Claim("k", "started", {}),), settles=(Settle("a", 5),))

    assert store.claim(NS, "k") is None
    assert store.spent(NS, "a") == (0, 0)


def test_what_is_no_json_is_refused_before_anything_is_written(store):
    with pytest.raises(InvalidArgument):
        put(store, Draft("GoalSet"), Draft("GoalSet", {"bad": float("nan")}))
    with pytest.raises(InvalidArgument):
        put(store, Draft("GoalSet", {"bad": object()}))

    assert store.head(NS, LOG).sequence == 0


def test_executions_are_numbered_by_day_and_namespace(store):
    names = [put(store, Draft("ExecutionCreated"), log="execution/", open_execution="20260510").execution for _ in range(2)]
    other_day = put(store, Draft("ExecutionCreated"), open_execution="20260511")
    elsewhere = put(store, Draft("ExecutionCreated"), open_execution="20260510", namespace="other")

    assert names == ["exec-20260510-001", "exec-20260510-002"]
    assert other_day.execution == "exec-20260511-001"
    assert elsewhere.execution == "exec-20260510-001"
    assert {event.execution for event in store.events(NS, Query(log="execution/exec-20260510-002"))} == {"exec-20260510-002"}


def test_threads_never_get_the_same_execution_name(store):
    names = []

    def work():
        names.extend(put(store, Draft("ExecutionCreated"), open_execution="20260510").execution for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(names)) == 40
    assert store.verify(NS, LOG) is None


def test_a_query_filters_by_everything_it_names(store):
    put(store, Draft("GoalSet", execution="e1"), Draft("TaskSet", execution="e2"))
    put(store, Draft("GoalSet", execution="e1"), at=AT + timedelta(hours=1))
    put(store, Draft("GoalSet", execution="e2"), log="conversation/other", at=AT + timedelta(minutes=30))

    def found(**conditions):
        return [(event.log[13:], event.sequence) for event in store.events(NS, Query(**conditions))]

    assert found() == [("conv", 1), ("conv", 2), ("other", 1), ("conv", 3)]
    assert found(log=LOG, after=1) == [("conv", 2), ("conv", 3)]
    assert found(types=("TaskSet",)) == [("conv", 2)]
    assert found(execution="e2") == [("conv", 2), ("other", 1)]
    assert found(since=AT + timedelta(minutes=1)) == [("other", 1), ("conv", 3)]
    assert found(limit=2) == [("conv", 1), ("conv", 2)]
    assert found(limit=0) == []


def test_many_events_come_in_order_while_others_are_written(store):
    put(store, *(Draft("GoalSet", {"n": number}) for number in range(1200)))

    seen = []
    for event in store.events(NS, Query(log=LOG)):
        seen.append(event.sequence)
        if event.sequence == 10:
            put(store, Draft("TaskSet"))

    assert seen == list(range(1, 1202))


def test_logs_are_found_by_their_beginning(store):
    for log in ("conversation/b", "conversation/a", "execution/x"):
        put(store, Draft("GoalSet"), log=log)

    assert list(store.logs(NS, "conversation/")) == ["conversation/a", "conversation/b"]


def test_records_are_put_replaced_listed_and_deleted(store):
    put(store, records=(Record("Model", "b", {"v": 1}), Record("Model", "a", {"v": 1}), Record("Agent", "z", {})))
    put(store, records=(Record("Model", "a", {"v": 2}, 2),))

    assert store.record(NS, "Model", "a") == Record("Model", "a", {"v": 2}, 2)
    assert [(record.kind, record.name) for record in store.records(NS)] == [("Agent", "z"), ("Model", "a"), ("Model", "b")]
    assert [record.name for record in store.records(NS, "Model")] == ["a", "b"]
    assert store.delete(NS, "Model", "a")
    assert not store.delete(NS, "Model", "a")
    assert store.record(NS, "Model", "a") is None


def test_a_swap_needs_the_version_before_it(store):
    put(store, claims=(Claim("k", "started", {}, "conv", "me", 5.0),))

    assert put(store, swaps=(Claim("k", "completed", {"x": 1}, "conv", "me", 0.0, 2),)).refused is None
    late = put(store, Draft("GoalSet"), swaps=(Claim("k", "in_doubt", {}, "conv", "other", 0.0, 2),))

    assert late.refused == store.claim(NS, "k") == Claim("k", "completed", {"x": 1}, "conv", "me", 0.0, 2)
    assert store.head(NS, LOG).sequence == 0


def test_claims_are_listed_by_conversation_and_state(store):
    for number, (conversation, state) in enumerate([("a", "started"), ("a", "completed"), ("b", "started")]):
        put(store, claims=(Claim(f"k{number}", state, {}, conversation),), at=AT + timedelta(seconds=number))

    assert [claim.key for claim in store.claims(NS)] == ["k0", "k1", "k2"]
    assert [claim.key for claim in store.claims(NS, conversation="a", state="started")] == ["k0"]


_MONEY = st.lists(st.tuples(st.sampled_from(["hold", "settle"]), st.integers(0, 60), st.integers(0, 60)), max_size=30)


@EXAMPLES
@given(steps=_MONEY)
def test_held_and_spent_never_pass_the_cap_and_never_fall_below_nothing(store, steps):
    account, cap, held, spent = f"account/{uuid.uuid4()}", 100, {}, 0

    for number, (step, amount, real) in enumerate(steps):
        if step == "hold":
            name = f"{account}/{number}"
            hold = Hold(name, account, amount, cap, 0.0 if number % 2 else 1.0)
            fits = spent + sum(held.values()) + amount <= cap
            assert (put(store, holds=(hold,)).refused is None) == fits
            if fits:
                held[name] = amount
        elif held:
            name, reserved = held.popitem()
            put(store, settles=(Settle(account, min(real, reserved), name),))
            spent += min(real, reserved)
        now_spent, now_held = store.spent(NS, account)
        assert now_spent + now_held == spent + sum(held.values()) <= cap
        assert min(now_spent, now_held) >= 0


def test_a_hold_that_has_expired_counts_as_spent_until_it_is_settled(store):
    put(store, holds=(Hold("h", "a", 70, 100, lease_until=1.0),))

    assert store.spent(NS, "a") == (70, 0)
    assert put(store, holds=(Hold("i", "a", 40, 100),)).refused == Hold("i", "a", 40, 100)
    put(store, settles=(Settle("a", 10, "h"),))
    assert store.spent(NS, "a") == (10, 0)


def test_money_is_never_negative(store):
    for bad in ({"holds": (Hold("h", "a", -1, 100),)}, {"settles": (Settle("a", -1),)}):
        with pytest.raises(InvalidArgument):
            put(store, **bad)


def test_namespaces_see_nothing_of_each_other(store):
    for namespace in ("one", "two"):
        put(
            store, Draft("GoalSet", {"in": namespace}), namespace=namespace, turn=0, claims=(Claim("k", "started", {"in": namespace}),),
            holds=(Hold("h", "a", 60, 100, 0.0),), records=(Record("Model", "m", {"in": namespace}),),
        )  # fmt: skip

    for namespace in ("one", "two"):
        assert [event.payload["in"] for event in store.events(namespace, Query())] == [namespace]
        assert store.claim(namespace, "k").value == store.record(namespace, "Model", "m").body == {"in": namespace}
        assert store.spent(namespace, "a") == (0, 60)
    store.delete("one", "Model", "m")
    assert store.record("two", "Model", "m") is not None


def test_closing_twice_is_fine(store):
    put(store, Draft("GoalSet"))

    store.close()
    store.close()
