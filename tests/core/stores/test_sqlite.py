"""What is special to a file of SQLite: who may open it, how it is kept, and what happens when it cannot be."""

import multiprocessing
import os
import sqlite3
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from joch_core.errors import InvalidArgument, StoreError
from joch_core.resources.commits import Commit, Hold
from joch_core.resources.events import Draft
from joch_core.stores import open_store
from joch_core.stores.base import Query
from joch_core.stores.schema import MIGRATIONS
from joch_core.stores.sqlite import network_file_system

NS, LOG = "default", "conversation/conv"


def put(store, *drafts, **more):
    return store.commit(NS, Commit(LOG, drafts, **more), datetime.now(UTC))


def opened(path):
    return open_store(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "", "sqlite", "sqlite:///"])
def test_a_url_of_unknown_form_is_wrong_use(url):
    with pytest.raises(InvalidArgument, match="sqlite:///"):
        open_store(url)


def test_the_four_forms_of_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///relative.db", f"sqlite:///{tmp_path}/absolute.db", "sqlite:///:memory:", "sqlite://"):
        store = open_store(url)
        put(store, Draft("GoalSet"))
        store.close()

    assert {path.name for path in tmp_path.iterdir()} == {"relative.db", "absolute.db"}


def test_only_the_owner_may_read_the_files(tmp_path):
    store = opened(tmp_path / "home" / "joch.db")
    put(store, Draft("GoalSet"))

    files = list((tmp_path / "home").iterdir())
    assert {path.name for path in files} == {"joch.db", "joch.db-wal", "joch.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    store.close()


def test_every_commit_is_flushed_to_the_disk(tmp_path):
    store = opened(tmp_path / "joch.db")
    with store.database.writing() as cursor:
        modes = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")]

    assert modes == ["wal", 2, 1]
    store.close()


def test_a_newer_schema_is_refused(tmp_path):
    store = opened(tmp_path / "joch.db")
    put(store, Draft("GoalSet"))
    store.close()
    with sqlite3.connect(tmp_path / "joch.db") as raw:
        raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    for _ in range(2):
        with pytest.raises(StoreError, match="newer Joch"):
            put(opened(tmp_path / "joch.db"), Draft("GoalSet"))


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "joch.db").write_bytes(b"precious" * 1000)

    with pytest.raises(StoreError, match=r"joch\.db"):
        put(opened(tmp_path / "joch.db"), Draft("GoalSet"))

    assert (tmp_path / "joch.db").read_bytes() == b"precious" * 1000


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="cannot be opened"):
        put(opened(tmp_path / "file" / "joch.db"), Draft("GoalSet"))


def test_a_full_disk_writes_nothing_and_says_so(tmp_path):
    store = opened(tmp_path / "joch.db")
    put(store, Draft("GoalSet"))
    with store.database.writing() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
    store.database._writer.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreError, match="room"):
        put(store, Draft("GoalSet"), Draft("GoalSet", {"big": "x" * 100_000}))

    assert [event.sequence for event in store.events(NS, Query(log=LOG))] == [1]
    assert store.verify(NS, LOG) is None
    store.close()


def test_a_store_that_is_held_by_another_process_says_so(tmp_path):
    store = opened(tmp_path / "joch.db")
    put(store, Draft("GoalSet"))
    store.database._writer.execute("PRAGMA busy_timeout = 50")
    with sqlite3.connect(tmp_path / "joch.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process"):
            put(store, Draft("GoalSet"))
        other.execute("ROLLBACK")
    store.close()


def test_a_network_file_system_is_recognised_by_its_mount(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\nserver:/x /mnt/my\\040share nfs4 rw 0 0\ntmpfs /mnt/my\\040share/fast tmpfs rw 0 0\n"
    )

    assert network_file_system(Path("/mnt/my share/joch.db"), mounts) == "nfs4"
    assert network_file_system(Path("/mnt/my share/fast/joch.db"), mounts) is None
    assert network_file_system(Path("/mnt/my shares/joch.db"), mounts) is None
    assert network_file_system(tmp_path / "joch.db") is None


def test_a_closed_store_says_that_it_is_closed(tmp_path):
    store = opened(tmp_path / "joch.db")
    store.close()

    with pytest.raises(StoreError, match="closed"):
        put(store, Draft("GoalSet"))


def test_many_short_threads_leave_no_connections_behind(tmp_path):
    store = opened(tmp_path / "joch.db")
    put(store, Draft("GoalSet"))
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(50):
        thread = threading.Thread(target=lambda: store.head(NS, LOG))
        thread.start()
        thread.join()

    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
    store.close()


def test_a_view_may_be_nested_and_others_may_write_while_it_is_open(tmp_path):
    store = opened(tmp_path / "joch.db")
    put(store, Draft("GoalSet"))

    with store.database.reading() as cursor:
        cursor.execute("SELECT count(*) FROM joch_event").fetchone()
        put(store, Draft("GoalSet"))
        with store.database.reading() as inner:
            assert inner.execute("SELECT count(*) FROM joch_event").fetchone() == (1,)

    assert store.head(NS, LOG).sequence == 2
    store.close()


def test_a_forked_child_is_told_to_open_its_own_store(tmp_path):
    store = opened(tmp_path / "joch.db")
    put(store, Draft("GoalSet"))
    pid = os.fork()
    if pid == 0:
        try:
            put(store, Draft("GoalSet"))
        except StoreError as error:
            os._exit(7 if "fork" in error.message else 8)
        os._exit(9)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    put(store, Draft("GoalSet"))
    assert store.verify(NS, LOG) is None
    store.close()


def _spend(path, barrier, queue):
    store = opened(path)
    barrier.wait()
    won = 0
    for number in range(25):
        hold = Hold(f"{os.getpid()}/{number}", "cap", 1, 50, 0.0)
        won += put(store, Draft("GoalSet", {"n": number}), holds=(hold,)).refused is None
    queue.put(won)
    store.close()


def test_processes_that_open_and_spend_at_once_keep_chain_and_cap(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_spend, args=(tmp_path / "joch.db", barrier, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    won = sum(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()

    store = opened(tmp_path / "joch.db")
    assert won == 50
    assert store.spent(NS, "cap") == (0, 50)
    assert store.head(NS, LOG).sequence == 50
    assert list(store.check()) == []
    store.close()
