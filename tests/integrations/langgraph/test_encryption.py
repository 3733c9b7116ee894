"""What lies on the disk when the saver encrypts, and what is refused when it is read."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.joch import JochSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from joch_core import InvalidArgument, Joch, StoreError

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CANARIES = (
    "canary-in-a-message",
    "canary@metadata.example",
    "canary-in-a-text-channel",
    "canary-in-a-write",
    "4711471147114711",
)


def config(thread: str = "t", checkpoint_id: str | None = None) -> dict:
    named = {"thread_id": thread, "checkpoint_ns": ""}
    return {"configurable": named if checkpoint_id is None else {**named, "checkpoint_id": checkpoint_id}}


def fill(saver: JochSaver, thread: str = "t", steps: int = 4) -> list[dict]:
    """A thread whose every corner holds something that nobody may read."""
    at, places, messages, version = config(thread), [], [], None
    for number in range(steps):
        messages = [*messages, HumanMessage(f"canary-in-a-message {number}", id=f"m{number}")]
        version = saver.get_next_version(version)
        values = {
            "messages": messages, "note": f"canary-in-a-text-channel {number}", "card": 4711471147114711,
            "notes": ["canary-in-a-text-channel"], "flag": True, "nothing": None,
        }  # fmt: skip
        versions = dict.fromkeys(values, version)
        state = {**empty_checkpoint(), "id": f"{number:08}", "channel_values": values, "channel_versions": versions}
        at = saver.put(at, state, {"email": "canary@metadata.example", "step": number, "run_id": f"run{number}"}, versions)
        saver.put_writes(at, [("messages", [AIMessage("canary-in-a-write", id="w")]), ("note", "canary-in-a-write")], "task")
        places.append(at)
    return places


def stored(folder: Path) -> bytes:
    """Everything on the disk: the file, its log and its index."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db-wal" for path in files)
    return b"".join(path.read_bytes() for path in files)


def change(store, sql: str, *parameters) -> None:
    with store.database.writing() as cursor:
        assert cursor.execute(sql, parameters).rowcount


def test_nothing_that_was_written_can_be_found_on_the_disk(tmp_path, make_store) -> None:
    saver = JochSaver(make_store(), encrypt=KEY)
    places = fill(saver)
    saver.copy_thread("t", "copy")
    saver.prune(["copy"])

    found = stored(tmp_path)

    assert not [canary for canary in CANARIES if canary.encode() in found]
    assert KEY not in found
    assert base64.b64encode(KEY) not in found
    again = JochSaver(make_store(), encrypt=KEY).get_tuple(places[-1])
    assert again.checkpoint["channel_values"]["card"] == 4711471147114711
    assert again.checkpoint["channel_values"]["nothing"] is None
    assert [one.content for one in again.checkpoint["channel_values"]["messages"]][-1] == "canary-in-a-message 3"
    assert again.metadata["email"] == "canary@metadata.example"
    assert again.pending_writes[1][2] == "canary-in-a-write"


def test_without_encryption_the_same_search_finds_them(tmp_path, make_store) -> None:
    fill(JochSaver(make_store()))

    assert b"canary-in-a-message" in stored(tmp_path)


def test_a_message_is_still_stored_once(make_store) -> None:
    store = make_store()
    fill(JochSaver(store, encrypt=KEY), steps=20)

    with store.database.reading() as cursor:
        assert cursor.execute("SELECT count(*) FROM graph_item").fetchone()[0] < 25


async def test_the_official_suite_passes_with_encryption(make_store) -> None:
    @checkpointer_test("JochSaver")
    async def registered():
        yield JochSaver(make_store(), encrypt=KEY)

    report = await validate(registered)

    assert not [failure for result in report.results.values() for failure in result.failures]
    assert report.conformance_level() == "FULL"


def test_plain_rows_are_refused_also_among_encrypted_ones(make_store) -> None:
    fill(JochSaver(make_store()))
    with pytest.raises(StoreError, match="plain text"):
        JochSaver(make_store(), encrypt=KEY).get_tuple(config())

    fill(JochSaver(make_store("mixed"), encrypt=KEY))
    for table, what in (("graph_checkpoint", "metadata"), ("graph_checkpoint", "body")):
        change(make_store("mixed"), f"UPDATE {table} SET {what}_kind = 'msgpack', {what} = ?", b"\x80")
        with pytest.raises(StoreError, match="plain text"):
            JochSaver(make_store("mixed"), encrypt=KEY).get_tuple(config())


def test_a_plain_value_or_item_that_was_slipped_in_is_refused(make_store) -> None:
    fill(JochSaver(make_store(), encrypt=KEY))
    change(make_store(), "UPDATE graph_item SET kind = 'msgpack', data = ?", b"\xa4evil")
    with pytest.raises(StoreError, match="plain text"):
        JochSaver(make_store(), encrypt=KEY).get_tuple(config())

    fill(JochSaver(make_store("second"), encrypt=KEY))
    change(make_store("second"), "UPDATE graph_version SET kind = 'msgpack', data = ? WHERE channel = 'note'", b"\xa4evil")
    with pytest.raises(StoreError, match="plain text"):
        JochSaver(make_store("second"), encrypt=KEY).get_tuple(config())


@pytest.mark.parametrize(
    "move",
    [
        # the newest text becomes an older one; the newest list loses its end; a whole body says less; a value changes channel
        ("UPDATE graph_version SET data = (SELECT o.data FROM graph_version AS o WHERE o.channel = 'note' ORDER BY o.version"
         " LIMIT 1) WHERE channel = 'note'"),
        ("UPDATE graph_version SET data = (SELECT o.data FROM graph_version AS o WHERE o.channel = 'note' ORDER BY o.version"
         " LIMIT 1) WHERE channel = 'card'"),
        "UPDATE graph_version SET keep = 1 WHERE channel = 'messages' AND keep = 3",
        "UPDATE graph_version SET data = substr(data, 17) WHERE channel = 'messages' AND base IS NULL",
        "UPDATE graph_checkpoint SET body = (SELECT o.body FROM graph_checkpoint AS o ORDER BY o.checkpoint LIMIT 1)",
        "UPDATE graph_checkpoint SET versions = (SELECT o.versions FROM graph_checkpoint AS o ORDER BY o.checkpoint LIMIT 1)",
        "UPDATE graph_checkpoint SET parent = NULL",
        "UPDATE graph_checkpoint SET metadata = (SELECT o.metadata FROM graph_checkpoint AS o ORDER BY o.checkpoint LIMIT 1)",
        "UPDATE graph_item SET data = (SELECT o.data FROM graph_item AS o ORDER BY o.digest LIMIT 1)",
        "UPDATE graph_write SET data = (SELECT o.data FROM graph_write AS o ORDER BY o.checkpoint LIMIT 1)",
        "UPDATE graph_thread SET thread = 'someone-else'",
    ],
)  # fmt: skip
def test_what_was_moved_to_another_place_is_refused(make_store, move: str) -> None:
    fill(JochSaver(make_store(), encrypt=KEY))
    change(make_store(), move)

    with pytest.raises(StoreError, match="does not belong where it stands"):
        JochSaver(make_store(), encrypt=KEY).get_tuple(config("someone-else" if "graph_thread" in move else "t"))


def test_without_the_key_a_thread_is_refused_with_the_way_to_read_it(make_store) -> None:
    fill(JochSaver(make_store(), encrypt=KEY))

    with pytest.raises(StoreError, match="encrypt="):
        JochSaver(make_store()).get_tuple(config())
    with pytest.raises(StoreError, match="another key"):
        JochSaver(make_store(), encrypt=OTHER).get_tuple(config())


def test_keys_are_changed_by_putting_the_new_one_before_the_old_one(make_store) -> None:
    fill(JochSaver(make_store(), encrypt=KEY))
    both = JochSaver(make_store(), encrypt=[OTHER, KEY])
    at = both.get_tuple(config())
    messages = [*at.checkpoint["channel_values"]["messages"], HumanMessage("new", id="new")]
    version = both.get_next_version(at.checkpoint["channel_versions"]["messages"])
    state = {
        **at.checkpoint, "id": "00000099", "channel_values": {"messages": messages}, "channel_versions": {"messages": version}
    }  # fmt: skip

    new = both.put(at.config, state, {}, {"messages": version})

    read = JochSaver(make_store(), encrypt=[OTHER, KEY]).get_tuple(new)
    assert [one.id for one in read.checkpoint["channel_values"]["messages"]] == ["m0", "m1", "m2", "m3", "new"]


@pytest.mark.parametrize("text", [base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode(), KEY.hex()])
def test_the_key_comes_from_a_variable(make_store, monkeypatch, text: str) -> None:
    monkeypatch.setenv("CHECKPOINT_KEY", text)

    fill(JochSaver(make_store(), encrypt="env:CHECKPOINT_KEY"))

    assert JochSaver(make_store(), encrypt=KEY).get_tuple(config()) is not None


def test_the_key_comes_from_the_variable_that_a_secret_names(make_store, monkeypatch, tmp_path) -> None:
    resources = tmp_path / "secret.yaml"
    resources.write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: Secret\nmetadata: {name: checkpoints}\n"
        "spec: {source: {type: env, name: CHECKPOINT_KEY}}\n"
    )
    monkeypatch.setenv("JOCH_RESOURCES", str(resources))
    monkeypatch.setenv("CHECKPOINT_KEY", KEY.hex())

    fill(JochSaver(make_store(), encrypt="secret:checkpoints"))

    assert JochSaver(make_store(), encrypt=KEY).get_tuple(config()) is not None
    with Joch(make_store()) as joch:
        assert joch.describe("Secret", "checkpoints")


@pytest.mark.parametrize("given", ["correct-horse-battery", "env:", b"too short", KEY + b"x", "hunter2:canary"])
def test_what_is_no_key_is_refused_and_never_repeated(make_store, given) -> None:
    with pytest.raises(InvalidArgument) as caught:
        JochSaver(make_store(), encrypt=given)

    shown = given if isinstance(given, str) else given.decode("latin-1")
    assert shown == "env:" or shown not in str(caught.value)


def test_a_variable_without_a_key_is_named_and_its_value_is_not(make_store, monkeypatch) -> None:
    with pytest.raises(InvalidArgument, match="not set"):
        JochSaver(make_store(), encrypt="env:CHECKPOINT_KEY")
    monkeypatch.setenv("CHECKPOINT_KEY", "canary-no-key")

    with pytest.raises(InvalidArgument, match="CHECKPOINT_KEY") as caught:
        JochSaver(make_store(), encrypt="env:CHECKPOINT_KEY")

    assert "canary" not in str(caught.value)


def test_no_error_and_no_representation_shows_the_key(make_store) -> None:
    saver = JochSaver(make_store(), encrypt=KEY)
    fill(saver)
    shown = repr(saver) + repr(vars(saver)) + repr(vars(saver._shelf))
    with pytest.raises(StoreError) as caught:
        JochSaver(make_store(), encrypt=OTHER).get_tuple(config())
    shown += str(caught.value)

    for key in (KEY, OTHER):
        assert repr(key) not in shown
        assert key.hex() not in shown


def test_two_ways_of_encrypting_exclude_each_other(make_store) -> None:
    class Cipher:
        def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
            return "none", plaintext

        def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
            return ciphertext

    with pytest.raises(InvalidArgument, match="twice"):
        JochSaver(make_store(), serde=EncryptedSerializer(Cipher()), encrypt=KEY)


def test_a_copied_and_a_pruned_thread_can_still_be_read(make_store) -> None:
    saver = JochSaver(make_store(), encrypt=os.urandom(32))
    places = fill(saver, steps=40)

    saver.copy_thread("t", "copy")
    saver.prune(["t"])

    assert len(list(saver.list(config("copy")))) == 40
    assert len(list(saver.list(config("t")))) == 1
    mine, copied = saver.get_tuple(places[-1]), saver.get_tuple(config("copy"))
    assert mine.checkpoint == copied.checkpoint
    assert mine.pending_writes == copied.pending_writes
