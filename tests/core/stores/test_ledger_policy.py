"""What policies say of tool calls, calls that are forced, calls that resemble others, and results that are large."""

import json
from datetime import UTC, datetime

import pytest

from joch_core import Joch
from joch_core.app.narrate import narrate
from joch_core.errors import OutcomeUnknown, PolicyDenied
from joch_core.messages import Message, ToolCall, message_to_json
from joch_core.resources.commits import Commit
from joch_core.resources.epochs import alike
from joch_core.resources.events import Draft, conversation_log
from joch_core.resources.tools import ToolVerdict, tool
from joch_core.stores import open_store
from joch_core.stores.base import Query
from joch_core.stores.ledger import Guard, calls, resolve
from joch_core.stores.ledger_rows import MAX_ARTIFACT_BYTES

NS = "default"
POLICY = """
apiVersion: joch.dev/v1alpha1
kind: Policy
metadata: {name: tools}
spec:
  rules:
"""


class Bank:
    """The world outside, one conversation, and its guard."""

    def __init__(self, store):
        self.store, self.effects, self.error = store, [], None
        self.pay = tool(effect="financial", name="pay")(self._pay)
        self.read = tool(effect="read", name="balance")(lambda: len(self.effects))

    def _pay(self, to: str, amount: int = 1):
        self.effects.append((to, amount))
        if self.error is not None:
            raise self.error
        return {"number": len(self.effects)}

    def guard(self, **options):
        return Guard(self.store, NS, "conv", **options)

    def note(self, type_, **payload):
        self.store.commit(NS, Commit(conversation_log("conv"), (Draft(type_, payload),)), datetime.now(UTC))

    def events(self, *types):
        found = self.store.events(NS, Query(log="conversation/conv", types=types))
        return [event.payload for event in found]


@pytest.fixture
def bank(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/ledger.db")
    yield Bank(store)
    store.close()


@pytest.fixture
def policed(tmp_path):
    """A Joch under a policy with these rules."""
    opened = []

    def under(rules):
        (tmp_path / "policy.yaml").write_text(POLICY + rules)
        opened.append(Joch(store=f"sqlite:///{tmp_path}/ledger.db", resources=str(tmp_path / "policy.yaml")))
        return opened[-1]

    yield under
    for joch in opened:
        joch.close()


# ------------------------------------------------------------------------------------------------------- forced calls


def test_a_forced_call_runs_again_under_a_key_of_its_own_and_the_log_tells_of_it(bank):
    first = bank.guard().run(bank.pay, {"to": "x"})
    forced = bank.guard().run(bank.pay, {"to": "x"}, force=True)

    assert bank.effects == [("x", 1), ("x", 1)]
    assert forced.key != first.key
    assert not forced.deduplicated
    (event,) = bank.events("ToolCallForced")
    assert (event["key"], event["repeats"], event["tool"], event["effect"]) == (forced.key, first.key, "pay", "financial")
    assert [row["status"].get("forced") for row in calls(bank.store, NS, datetime.now(UTC))] == [None, True]


def test_after_a_forced_call_the_usual_rule_holds_again(bank):
    bank.guard().call(bank.pay, {"to": "x"})
    bank.guard().call(bank.pay, {"to": "x"}, force=True)

    assert bank.guard().run(bank.pay, {"to": "x"}).deduplicated
    assert len(bank.effects) == 2


def test_a_call_in_doubt_can_be_forced_and_a_forced_call_in_doubt_blocks_like_any_other(bank):
    bank.error = ValueError("cut off")
    with pytest.raises(ValueError, match="cut off"):
        bank.guard().call(bank.pay, {"to": "x"})
    with pytest.raises(ValueError, match="cut off"):
        bank.guard().call(bank.pay, {"to": "x"}, force=True)
    for row in calls(bank.store, NS, datetime.now(UTC))[:1]:
        resolve(bank.store, NS, row["metadata"]["name"], "not_done", datetime.now(UTC))
    bank.error = None

    with pytest.raises(OutcomeUnknown):
        bank.guard().call(bank.pay, {"to": "x"})
    assert len(bank.effects) == 2


async def test_a_forced_call_of_an_asynchronous_caller_is_audited_too(bank):
    await bank.guard().acall(bank.pay, {"to": "x"})
    await bank.guard().acall(bank.pay, {"to": "x"}, force=True, approved_by="ada")

    (event,) = bank.events("ToolCallForced")
    assert event["approvedBy"] == "ada"
    assert len(bank.effects) == 2


# ------------------------------------------------------------------------------------------------------------ policies


def test_a_policy_denies_before_anything_is_started(bank, policed):
    joch = policed(
        "    - {name: no-money, when: {tool.sideEffect: financial}, action: {deny: true, reason: ask the office}}"
    )

    with pytest.raises(PolicyDenied, match=r"tools/no-money.*ask the office.*not started"):
        joch.guard(conversation="conv").call(bank.pay, {"to": "x"})

    assert bank.effects == []
    assert list(joch.calls()) == []
    (event,) = bank.events("PolicyDenied")
    assert (event["tool"], event["policy"], event["rule"], event["effect"]) == ("pay", "tools", "no-money", "financial")
    assert any("denies pay: ask the office" in narrate(event) for event in joch.trace("conv"))


@pytest.mark.parametrize(
    ("when", "denied"),
    [
        ("{tool.name: pay}", True),
        ("{tool.name: [send, pay]}", True),
        ("{tool.name: send}", False),
        ("{tool.sideEffect: financial, tool.idempotent: true}", False),
        ("{model.provider: openai}", False),
        ("{data.contains: secret}", False),
        ("{}", False),
    ],
)
def test_only_rules_that_speak_of_tools_are_asked(bank, policed, when, denied):
    guard = policed(f"    - {{when: {when}, action: deny}}").guard(conversation="conv")

    if denied:
        with pytest.raises(PolicyDenied):
            guard.call(bank.pay, {"to": "x"})
    else:
        guard.call(bank.pay, {"to": "x"})
    assert len(bank.effects) == (not denied)


def test_what_was_done_before_the_policy_came_is_told_and_not_denied(bank, policed):
    done = bank.guard().call(bank.pay, {"to": "x"})
    guard = policed("    - {when: {tool.name: pay}, action: deny}").guard(conversation="conv")

    assert guard.call(bank.pay, {"to": "x"}) == done
    with pytest.raises(PolicyDenied):
        guard.call(bank.pay, {"to": "y"})
    assert bank.effects == [("x", 1)]


def test_a_required_approval_is_given_by_name(bank, policed):
    guard = policed("    - {name: four-eyes, when: {tool.sideEffect: financial}, require: {approval: human}}").guard(
        conversation="conv"
    )

    with pytest.raises(PolicyDenied, match="approved_by"):
        guard.call(bank.pay, {"to": "x"})
    guard.call(bank.pay, {"to": "x"}, approved_by="ada")

    assert bank.effects == [("x", 1)]
    (event,) = bank.events("ToolCallRequested")
    assert event["approvedBy"] == "ada"


def test_a_tool_resource_that_requires_approval_gets_it(bank, tmp_path):
    (tmp_path / "tool.yaml").write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: Tool\nmetadata: {name: pay}\nspec: {sideEffects: {requiresApproval: true}}\n"
    )
    with Joch(store=bank.store.url, resources=str(tmp_path / "tool.yaml")) as joch:
        with pytest.raises(PolicyDenied, match="Tool/pay") as denied:
            joch.guard(conversation="conv").call(bank.pay, {"to": "x"})
        joch.guard(conversation="conv").call(bank.pay, {"to": "x"}, approved_by="ada")

    assert denied.value.approval
    assert bank.effects == [("x", 1)]


def test_a_policy_can_forbid_what_is_forced_and_nothing_else(bank, policed):
    guard = policed("    - {when: {tool.forced: true}, action: deny}").guard(conversation="conv")
    guard.call(bank.pay, {"to": "x"})

    with pytest.raises(PolicyDenied):
        guard.call(bank.pay, {"to": "x"}, force=True)

    assert len(bank.effects) == 1
    assert bank.events("ToolCallForced") == []


def test_a_read_can_be_denied_too(bank, policed):
    guard = policed("    - {when: {tool.name: balance}, action: deny}").guard(conversation="conv")

    with pytest.raises(PolicyDenied):
        guard.call(bank.read)


def test_what_policies_redact_is_not_in_the_ledger_but_reaches_the_tool(bank, policed):
    guard = policed("    - {when: {data.contains: pii}, action: redact}").guard(conversation="conv")

    guard.call(bank.pay, {"to": "ada@example.org"})

    assert bank.effects == [("ada@example.org", 1)]
    stored = json.dumps(list(calls(bank.store, NS, datetime.now(UTC)))) + json.dumps(bank.events())
    assert "ada@example.org" not in stored
    assert "[redacted]" in stored


def test_without_policies_that_speak_of_tools_nobody_judges(policed):
    guard = policed("    - {when: {model.provider: openai}, action: deny}").guard(conversation="conv")

    assert guard._desk.judge is None


# ----------------------------------------------------------------------------------------------------- near duplicates


def test_a_call_that_resembles_one_from_before_a_switch_runs_and_is_flagged(bank):
    first = bank.guard().run(bank.pay, {"to": "The Printer Shop"})
    bank.note("ProviderSwitched", fromProvider="openai:a", toProvider="anthropic:b", reason="outage", capabilityDeltas=[])
    second = bank.guard().run(bank.pay, {"to": "the printer-shop"})

    (event,) = bank.events("NearDuplicate")
    assert (event["key"], event["like"], event["tool"]) == (second.key, first.key, "pay")
    assert len(bank.effects) == 2


@pytest.mark.parametrize("other", [{"to": "The Printer Shop", "amount": 2}, {"to": "somebody quite different"}])
def test_a_call_that_means_something_else_is_not_flagged(bank, other):
    bank.guard().call(bank.pay, {"to": "The Printer Shop"})
    bank.note("ProviderSwitched", fromProvider="openai:a", toProvider="anthropic:b", reason="outage", capabilityDeltas=[])
    bank.guard().call(bank.pay, other)

    assert bank.events("NearDuplicate") == []


def test_without_a_switch_a_call_that_resembles_another_is_not_flagged(bank):
    bank.guard().call(bank.pay, {"to": "The Printer Shop"})
    bank.guard().call(bank.pay, {"to": "the printer-shop"})

    assert bank.events("NearDuplicate") == []


def test_a_policy_can_stop_what_resembles(bank):
    judge = lambda facts: ToolVerdict("tools/near", "look first") if facts["tool.nearDuplicate"] else ToolVerdict()  # noqa: E731
    bank.guard().call(bank.pay, {"to": "The Printer Shop"})
    bank.note("ProviderSwitched", fromProvider="openai:a", toProvider="anthropic:b", reason="outage", capabilityDeltas=[])

    with pytest.raises(PolicyDenied, match="look first"):
        bank.guard(judge=judge).call(bank.pay, {"to": "the printer-shop"})
    assert len(bank.effects) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"subject": "Login broken"}, {"subject": "login is broken!"}, True),
        ({"order": "1001"}, {"order": "1002"}, False),
        ({"order": 1001}, {"order": 1002}, False),
        ({"subject": "a"}, {"title": "a"}, False),
        ({"body": "x" * 3000}, {"body": "x" * 3000}, True),
        ({"items": ["a"]}, {"items": ["a", "b"]}, False),
    ],
)
def test_calls_are_alike_when_their_texts_nearly_are_and_all_else_is(one, other, same):
    assert alike(one, other) is same


# ------------------------------------------------------------------------------------------------------- large results


def large(text="x", size=3_000_000, name="export"):
    return tool(effect="external_write", name=name)(lambda subject: {"text": text * size, "for": subject})


def test_a_large_result_is_an_artifact_and_a_duplicate_gets_it_whole(bank):
    first = bank.guard().run(large(), {"subject": "a"})
    second = bank.guard().run(large(), {"subject": "a"})

    assert second.deduplicated
    assert second.value == first.value == {"text": "x" * 3_000_000, "for": "a"}
    (row,) = calls(bank.store, NS, datetime.now(UTC))
    ref = row["status"]["artifactRef"]
    assert ref.startswith("artifact://sha256/")
    assert row["status"]["output"]["ref"] == ref
    assert len(json.dumps(row)) < 10_000
    assert bank.events("ArtifactCreated")[0]["ref"] == ref
    assert max(len(json.dumps(payload)) for payload in bank.events()) < 10_000


def test_the_same_content_is_kept_once(bank):
    same = tool(effect="external_write", name="export")(lambda subject: "x" * 3_000_000)
    for subject in ("a", "b", "c"):
        bank.guard().call(same, {"subject": subject})

    with bank.store.database.reading() as cursor:
        assert cursor.execute("SELECT COUNT(*), SUM(LENGTH(data)) FROM joch_artifact").fetchone() == (1, 3_000_002)


def test_an_artifact_is_redacted_as_everything_that_is_written(bank):
    bank.guard().call(large("key sk-abcdefgh12345678 ", 100_000), {"subject": "a"})

    digest = calls(bank.store, NS, datetime.now(UTC))[0]["status"]["artifactRef"].rpartition("/")[2]
    assert b"sk-abcdefgh" not in bank.store.artifact(NS, digest).data


@pytest.mark.slow
def test_what_is_too_large_for_an_artifact_is_kept_as_its_beginning(bank):
    size = MAX_ARTIFACT_BYTES + 1

    assert len(bank.guard().call(large(size=size), {"subject": "a"})["text"]) == size
    assert bank.guard().call(large(size=size), {"subject": "a"})["jochNote"] == "too large to be kept"


def test_a_large_result_that_an_operator_gives_is_an_artifact_too(bank):
    bank.error = ValueError("cut off")
    with pytest.raises(ValueError, match="cut off"):
        bank.guard().call(bank.pay, {"to": "x"})
    (row,) = calls(bank.store, NS, datetime.now(UTC))

    resolve(bank.store, NS, row["metadata"]["name"], "done", datetime.now(UTC), result=["y" * 2_000_000])

    assert bank.guard().call(bank.pay, {"to": "x"}) == ["y" * 2_000_000]


def test_a_result_that_looks_like_a_note_is_only_itself(bank):
    bank.guard().call(large(), {"subject": "a"})
    ref = calls(bank.store, NS, datetime.now(UTC))[0]["status"]["artifactRef"]
    false = tool(effect="external_write", name="false")(lambda: {"jochNote": "kept as an artifact", "ref": ref})
    bank.guard().call(false)

    assert bank.guard().call(false) == {"jochNote": "kept as an artifact", "ref": ref}


def test_an_error_is_kept_without_keys(bank):
    bank.error = ValueError("refused: Bearer abcdefghijkl")
    with pytest.raises(ValueError, match="refused"):
        bank.guard().call(bank.pay, {"to": "x"})

    assert "abcdefghijkl" not in json.dumps(bank.events())


def test_a_store_of_the_first_schema_is_brought_up_to_date(tmp_path):
    import sqlite3

    from joch_core.stores.schema import MIGRATIONS

    file = tmp_path / "old.db"
    old = sqlite3.connect(file)
    old.executescript(MIGRATIONS[0])
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()

    store = open_store(f"sqlite:///{file}")
    Guard(store, NS, "conv").call(large(), {"subject": "a"})

    assert Guard(store, NS, "conv").run(large(), {"subject": "a"}).deduplicated
    assert list(store.check()) == []
    store.close()


def test_a_call_planned_again_with_a_new_id_after_a_switch_runs_once(bank):
    plan = lambda call_id: Message.assistant([ToolCall(call_id, "pay", {"to": "x"})])  # noqa: E731
    bank.note("MessageAdded", message=message_to_json(Message.user("pay x")))
    bank.note("MessageAdded", message=message_to_json(plan("call00001")))
    bank.guard().call(bank.pay, {"to": "x"}, call_id="call00001")
    bank.note("ProviderSwitched", fromProvider="openai:a", toProvider="anthropic:b", reason="outage", capabilityDeltas=[])
    bank.note("MessageAdded", message=message_to_json(plan("call00002")))

    assert bank.guard().run(bank.pay, {"to": "x"}, call_id="call00002").deduplicated
    assert len(bank.effects) == 1
