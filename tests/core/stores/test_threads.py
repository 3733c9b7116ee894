from __future__ import annotations

import hashlib
import random
import threading

import pytest

from joch_core.errors import ConversationConflict
from joch_core.stores import open_store
from joch_core.stores.graphs import SCHEMA, GraphCheckpoint, GraphWrite
from joch_core.stores.packing import (
    pack,
    pack_item,
    pack_versions,
    pack_writes,
    unpack,
    unpack_item,
    unpack_versions,
    unpack_writes,
    versions_text,
)
from joch_core.stores.threads import GraphItems, Threads

BODY = ("msgpack", b"body")


@pytest.fixture
def store():
    store = open_store("sqlite:///:memory:")
    yield store
    store.close()


@pytest.fixture
def threads(store) -> Threads:
    return Threads(store.database, "default")


def digest(name: object) -> bytes:
    return hashlib.blake2b(repr(name).encode(), digest_size=16).digest()


def items_of(*names: object) -> dict:
    return {digest(name): ("msgpack", repr(name).encode()) for name in names}


def point(number: int, parent: int | None = None, lane: str = "", **more) -> GraphCheckpoint:
    before = None if parent is None else f"{parent:06}"
    return GraphCheckpoint(lane, f"{number:06}", before, {"list": f"v{number}"}, BODY, BODY, **more)


def put_list(threads: Threads, number: int, names: list, base: int | None = None, keep: int = 0) -> bool:
    content = GraphItems([digest(name) for name in names], base=None if base is None else f"v{base}", keep=keep)
    return threads.put("t", point(number), {"list": content}, items_of(*names[keep:]))


def read_list(threads: Threads, number: int) -> list:
    found = threads.get("t", "", f"{number:06}")
    return [eval(found.items[one][1]) for one in found.contents["list"].digests]


def count(store, table: str) -> int:
    with store.database.reading() as cursor:
        return cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_any_history_of_a_list_reads_back(threads: Threads) -> None:
    source = random.Random(3)
    states: list[list] = [[]]
    for number in range(1, 400):
        keep = source.randint(max(0, len(states[-1]) - 3), len(states[-1]))
        new = [*states[-1][:keep], *(source.randint(0, 10_000) for _ in range(source.randint(0, 3)))]
        assert put_list(threads, number, new, base=number - 1 if number > 1 else None, keep=keep if number > 1 else 0)
        states.append(new)

    for number in range(1, 400):
        assert read_list(threads, number) == states[number]


def test_chains_are_short_and_complete_lists_are_rare(threads: Threads, store) -> None:
    for number in range(1, 1001):
        put_list(threads, number, list(range(number)), base=number - 1 if number > 1 else None, keep=number - 1)

    with store.database.reading() as cursor:
        depth, stored = cursor.execute("SELECT max(depth), sum(length(data)) FROM graph_version").fetchone()

    assert depth <= 125
    assert stored < 1000 * 16 * 10
    assert read_list(threads, 1000) == list(range(1000))


def test_a_list_that_builds_on_nothing_is_not_written(threads: Threads, store) -> None:
    assert put_list(threads, 2, [1, 2], base=1, keep=1) is False

    assert [count(store, table) for table in ("graph_thread", "graph_checkpoint", "graph_version", "graph_item")] == [0] * 4


def test_a_fenced_checkpoint_must_follow_the_newest_one(threads: Threads, store) -> None:
    threads.put("t", point(1), {}, {}, fenced=True)
    threads.put("t", point(2, parent=1), {}, {}, fenced=True)

    with pytest.raises(ConversationConflict, match="000002"):
        threads.put("t", point(3, parent=1), {"list": GraphItems([digest(1)])}, items_of(1), fenced=True)
    threads.put("t", point(2, parent=1), {}, {}, fenced=True)
    threads.put("t", point(3, parent=1), {}, {})

    assert count(store, "graph_checkpoint") == 3
    assert count(store, "graph_item") == 0


def test_of_many_writers_at_once_exactly_one_wins(threads: Threads) -> None:
    threads.put("t", point(1), {}, {})
    won, lost = [], []

    def write(number: int) -> None:
        try:
            threads.put("t", point(number, parent=1), {}, {}, fenced=True)
            won.append(number)
        except ConversationConflict:
            lost.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert (len(won), len(lost)) == (1, 7)


def test_pruning_leaves_nothing_behind_and_nothing_broken(threads: Threads, store) -> None:
    for number in range(1, 200):
        put_list(threads, number, list(range(number)), base=number - 1 if number > 1 else None, keep=number - 1)
        threads.put_writes(
            "t", "", f"{number:06}", [GraphWrite("task", 0, "", "list", GraphItems([digest(number)]))], items_of(number)
        )

    threads.keep_only("t", {"": ["000050", "000051", "000120"]})

    assert [read_list(threads, number) for number in (50, 51, 120)] == [list(range(n)) for n in (50, 51, 120)]
    assert (count(store, "graph_checkpoint"), count(store, "graph_version"), count(store, "graph_write")) == (3, 3, 3)
    assert count(store, "graph_item") == 121
    threads.keep_only("t", {})
    assert [
        count(store, table) for table in ("graph_thread", "graph_checkpoint", "graph_version", "graph_item", "graph_write")
    ] == [0] * 5


def test_deleting_runs_touches_no_other_thread(threads: Threads, store) -> None:
    for thread in ("a", "b"):
        for number, run in ((1, "first"), (2, "second")):
            threads.put(thread, point(number, run=f"{thread}-{run}"), {}, {})

    threads.delete_runs(["a-first", "b-second", "unknown"])

    assert [one.snapshot.checkpoint for one in threads.page(thread="a", limit=9)] == ["000002"]
    assert [one.snapshot.checkpoint for one in threads.page(thread="b", limit=9)] == ["000001"]


def test_pages_follow_each_other_over_threads_and_lanes(threads: Threads) -> None:
    expected = []
    for number in range(1, 8):
        for thread in ("a", "b"):
            for lane in ("", "sub:1"):
                threads.put(thread, point(number, lane=lane), {}, {})
                expected.append((-number, thread, lane))
    seen, after = [], None

    while page := threads.page(after=after, limit=3):
        seen += [(-int(one.snapshot.checkpoint), one.thread, one.snapshot.lane) for one in page]
        after = page[-1]

    assert seen == sorted(expected)


def test_the_newest_checkpoint_of_a_lane_is_found_without_reading_the_others(threads: Threads, store) -> None:
    for number in range(1, 300):
        threads.put("t", point(number), {}, {})
    with store.database.reading() as cursor:
        key = cursor.execute("SELECT id FROM graph_thread").fetchone()[0]
        plan = cursor.execute(
            "EXPLAIN QUERY PLAN SELECT c.checkpoint FROM graph_checkpoint AS c"
            " JOIN graph_thread AS t ON t.namespace = c.namespace AND t.id = c.thread"
            " WHERE c.namespace = ? AND c.thread = ? AND c.lane = ? AND c.checkpoint < ? ORDER BY c.checkpoint DESC LIMIT 1",
            ("default", key, "", b"000200"),
        ).fetchall()

    assert not any("TEMP B-TREE" in row[-1] for row in plan)
    assert threads.page(thread="t", lane="", before="000200", limit=1)[0].snapshot.checkpoint == "000199"


def test_a_repeated_write_keeps_its_first_content_and_a_special_one_its_last(threads: Threads) -> None:
    threads.put("t", point(1), {}, {})
    for value in (b"old", b"new"):
        threads.put_writes(
            "t", "", "000001", [GraphWrite("task", position, "p", "c", ("x", value)) for position in (-1, 0)], {}
        )

    assert [(one.position, one.content) for one in threads.get("t", "").writes] == [(-1, ("x", b"new")), (0, ("x", b"old"))]


def test_a_secret_is_given_once_and_copied_along(threads: Threads) -> None:
    assert threads.secret("t", ("bytes", b"first")) == ("bytes", b"first")
    assert threads.secret("t", ("bytes", b"second")) == ("bytes", b"first")
    threads.copy("t", "u")
    assert threads.secret("u", ("bytes", b"third")) == ("bytes", b"first")


def test_a_channel_that_holds_none_needs_no_row(threads: Threads, store) -> None:
    threads.put("t", GraphCheckpoint("", "1", None, {"a": 1, "b": "x"}, BODY, BODY, nulls=("a",)), {"b": ("m", b"1")}, {})

    found = threads.get("t", "")

    assert found.snapshot.nulls == ("a",)
    assert found.snapshot.versions == {"a": 1, "b": "x"}
    assert found.contents == {"b": ("m", b"1")}
    assert count(store, "graph_version") == 1


@pytest.mark.parametrize("size", [0, 1, 47, 48, 200, 5000])
@pytest.mark.parametrize("kind", ["msgpack", "msgpack+aes", "null"])
def test_what_is_packed_comes_out_again(size: int, kind: str) -> None:
    for data in (bytes(size), random.Random(size).randbytes(size)):
        assert unpack(*pack((kind, data), b"about"), b"about") == (kind, data)
        assert unpack_item(*pack_item((kind, data))) == (kind, data)


def test_ciphertext_is_left_as_it_is() -> None:
    assert pack(("msgpack+aes", bytes(5000))) == ("msgpack+aes", bytes(5000))
    assert pack_item(("msgpack+aes", bytes(5000))) == ("msgpack+aes", bytes(5000))


def test_versions_keep_their_types() -> None:
    versions = {"int": 3, "float": 2.5, "text": f"{3:032}.0.5", "kanal ä\n": "1"}

    found, nulls, text = unpack_versions(pack_versions(versions_text(versions, ["text"])))

    assert found == versions
    assert [type(one) for one in found.values()] == [int, float, str, str]
    assert nulls == ("text",)
    assert text == versions_text(versions, ["text"])


def test_writes_of_a_task_are_one_row() -> None:
    writes = [
        GraphWrite("task", -3, "~a, b", "chan\nnel", ("msgpack", b"\n\x00[")),
        GraphWrite("task", 0, "", "x", GraphItems([digest(1), digest(2)])),
        GraphWrite("task", 1, "", "y", GraphItems([digest(3)], "one")),
        GraphWrite("task", 2, "", "z", ("null", b"")),
    ]

    assert unpack_writes("task", pack_writes(writes)) == writes


def test_the_tables_are_portable() -> None:
    for statement in SCHEMA.split(";"):
        assert "WITHOUT ROWID" not in statement
        assert "AUTOINCREMENT" not in statement
        assert "BLOB" not in statement
    for table in SCHEMA.split("CREATE TABLE IF NOT EXISTS ")[1:]:
        assert table.startswith("graph_")
        assert "PRIMARY KEY (namespace, thread" in table
