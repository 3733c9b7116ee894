"""What the guard does when the disk is full, the store is read-only, a clock jumps, or its own process stands still."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from joch_core.errors import CallInProgress, JochError, NotExecuted, OutcomeUnknown, StoreError
from joch_core.resources.tools import tool
from joch_core.stores import open_store, owners
from joch_core.stores.ledger import Guard, calls, resolve

NS = "default"
ELSEWHERE = "another-host:boot:1:1"


@pytest.fixture
def effects():
    return []


@pytest.fixture
def create(effects):
    @tool(effect="external_write")
    def create(subject: str):
        effects.append(subject)
        return {"number": len(effects)}

    return create


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    opened.close()


# --------------------------------------------------------------------------------------------------------- full disks


def fill(folder):
    """Take all the room that is left on a small disk."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        for size in (65536, 4096, 512):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 2 MiB; where mounting is not allowed, a folder whose database may not grow."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    mounted = mount is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    yield place, mounted
    if mounted:
        subprocess.run([str(umount), "-l", str(place)], check=True)


def test_on_a_full_disk_nothing_is_started_and_with_room_again_it_is(small_disk, create, effects):
    place, mounted = small_disk
    store = open_store(f"sqlite:///{place}/ledger.db")
    Guard(store, NS, "conv").call(create, {"subject": "before"})
    writer = store.database._writer
    if mounted:
        fill(place)
    else:
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.execute(f"PRAGMA max_page_count = {writer.execute('PRAGMA page_count').fetchone()[0]}")
    refused = None
    for number in range(400):  # what is left of the last page may still take a row or two
        try:
            Guard(store, NS, "conv").call(create, {"subject": f"{number} {'x' * 2000}"})
        except JochError as error:
            refused = error
            break
    started = len(effects)

    with pytest.raises(StoreError, match="make room on the disk") as again:
        Guard(store, NS, "conv").call(create, {"subject": "y" * 30_000})
    assert isinstance(refused, StoreError | OutcomeUnknown)  # unknown: the start still fitted, the end did not
    assert "make room" in refused.message
    assert again.value.__cause__ is None
    assert len(effects) == started

    if mounted:
        (place / "ballast").unlink()
    else:
        writer.execute("PRAGMA max_page_count = 1000000")
    Guard(store, NS, "conv").call(create, {"subject": "y" * 30_000})
    assert len(effects) == started + 1
    assert list(store.check()) == []
    store.close()


def test_an_effect_whose_end_finds_no_room_is_in_doubt_and_not_repeated(store, effects):
    writer = []

    @tool(effect="external_write")
    def export(subject: str):
        effects.append(subject)
        writer[0].execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer[0].execute(f"PRAGMA max_page_count = {writer[0].execute('PRAGMA page_count').fetchone()[0]}")
        return "x" * 500_000

    store.head(NS, "x")
    writer.append(store.database._writer)
    with pytest.raises(OutcomeUnknown, match="could not be recorded"):
        Guard(store, NS, "conv").call(export, {"subject": "a"})
    writer[0].execute("PRAGMA max_page_count = 1000000")

    with pytest.raises((OutcomeUnknown, CallInProgress)):
        Guard(store, NS, "conv", wait_s=0.05).call(export, {"subject": "a"})
    assert effects == ["a"]


# ------------------------------------------------------------------------------------------------------ read-only


def test_a_store_that_cannot_be_written_starts_nothing(store, create, effects):
    store.head(NS, "x")
    store.database._writer.execute("PRAGMA query_only = ON")  # root may write to any file: this is refused to everybody

    with pytest.raises(StoreError, match="writable"):
        Guard(store, NS, "conv").call(create, {"subject": "a"})
    assert effects == []


def test_a_folder_that_is_no_folder_starts_nothing(tmp_path, create, effects):
    (tmp_path / "file").write_text("")
    store = open_store(f"sqlite:///{tmp_path}/file/ledger.db")

    with pytest.raises(StoreError, match="cannot be opened"):
        Guard(store, NS, "conv").call(create, {"subject": "a"})
    assert effects == []


def test_a_read_needs_no_store_at_all(tmp_path):
    (tmp_path / "file").write_text("")
    store = open_store(f"sqlite:///{tmp_path}/file/ledger.db")

    assert Guard(store, NS, "conv").call(tool(effect="read")(lambda: 7)) == 7


# --------------------------------------------------------------------------------------------------------- clocks


def shifted(days):
    return lambda: datetime.now(UTC) + timedelta(days=days)


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_between_two_calls_repeats_nothing(store, create, effects, days):
    first = Guard(store, NS, "conv").call(create, {"subject": "a"})

    assert Guard(store, NS, "conv", clock=shifted(days)).call(create, {"subject": "a"}) == first
    assert effects == ["a"]
    assert list(store.check()) == []


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_while_a_call_runs_repeats_nothing(store, effects, days):
    refusals = []

    @tool(effect="external_write")
    def create(subject: str):
        effects.append(subject)
        if len(effects) == 1:
            other = Guard(store, NS, "conv", clock=shifted(days), wait_s=0.05)
            with pytest.raises((OutcomeUnknown, CallInProgress)) as refused:
                other.call(create, {"subject": "a"})
            refusals.append(type(refused.value))
        return {"number": len(effects)}

    value = Guard(store, NS, "conv").call(create, {"subject": "a"})

    assert refusals == [OutcomeUnknown if days > 0 else CallInProgress]
    assert effects == ["a"]
    assert Guard(store, NS, "conv", clock=shifted(days)).call(create, {"subject": "a"}) == value
    (row,) = calls(store, NS, datetime.now(UTC))
    assert row["status"]["phase"] == "Succeeded"  # a late end of a call in doubt


@pytest.mark.parametrize("days", [-1, 1])
def test_with_a_wrong_clock_an_owner_elsewhere_costs_at_most_a_doubt(store, create, effects, days):
    guard = Guard(store, NS, "conv", clock=shifted(days))
    guard._desk = type(guard._desk)(store, NS, "conv", None, shifted(days), 60.0, ELSEWHERE)

    guard._desk.admit(guard._prepare(create, {"subject": "a"}, "", None, None))  # started there, never ended

    with pytest.raises((OutcomeUnknown, CallInProgress)):
        Guard(store, NS, "conv", wait_s=0.05).call(create, {"subject": "a"})
    assert effects == []


# ------------------------------------------------------------------------------------------ a process that stands still


def test_a_process_that_stood_still_before_the_effect_does_not_start_it(store, create, effects):
    guard = Guard(store, NS, "conv")
    real = guard._desk.admit

    class Slow(type(guard._desk)):
        """A desk whose process is stopped for longer than its lease, just after the claim was written."""

        def admit(self, call):
            admission = real(call)
            call.until = owners.lease_clock() - 1
            return admission

    desk = guard._desk
    guard._desk = Slow(store, NS, "conv", None, desk.clock, desk.lease_s, desk.owner)

    with pytest.raises(NotExecuted, match="was not started"):
        guard.call(create, {"subject": "a"})
    assert effects == []
    (row,) = calls(store, NS, datetime.now(UTC))
    assert row["status"]["phase"] == "Failed"
    assert Guard(store, NS, "conv").call(create, {"subject": "a"}) == {"number": 1}


ZOMBIE = """
import os, sys
from joch_core.errors import JochError
from joch_core.resources.tools import tool
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard

@tool(effect="external_write")
def create(subject: str):
    print("EFFECT", flush=True)
    return {"by": os.getpid()}

try:
    Guard(open_store(sys.argv[1]), "default", "conv").call(create, {"subject": "a"})
except JochError as error:
    print(error.kind, flush=True)
"""


def test_a_zombie_wakes_up_after_somebody_else_did_the_work_and_starts_nothing(store, create, effects, tmp_path):
    import sys

    environment = {**os.environ, "JOCH_LEASE_SECONDS": "0.5", "JOCH_FAILPOINT": "stop:after_started"}
    command = [sys.executable, "-c", ZOMBIE, store.url]
    zombie = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    os.waitpid(zombie.pid, os.WUNTRACED)  # it has stopped itself between the claim and the effect
    time.sleep(0.7)
    (row,) = calls(store, NS, datetime.now(UTC))
    assert row["status"]["phase"] == "Unknown"
    resolve(store, NS, row["metadata"]["name"], "not_done", datetime.now(UTC))
    Guard(store, NS, "conv").call(create, {"subject": "a"})

    os.kill(zombie.pid, signal.SIGCONT)
    said, _ = zombie.communicate(timeout=30)

    assert said.split() == ["not_executed"]
    assert effects == ["a"]
    (row,) = calls(store, NS, datetime.now(UTC))
    assert row["status"]["phase"] == "Succeeded"


async def test_a_call_that_is_cancelled_twice_before_it_began_may_run_again(store, create, effects):
    guard = Guard(store, NS, "conv")
    real = guard._desk.admit

    class Slow(type(guard._desk)):
        """A desk at which the claim takes its time."""

        def admit(self, call):
            time.sleep(0.2)
            return real(call)

    desk = guard._desk
    guard._desk = Slow(store, NS, "conv", None, desk.clock, desk.lease_s, desk.owner)
    task = asyncio.create_task(guard.acall(create, {"subject": "a"}))
    for _ in range(2):
        await asyncio.sleep(0.05)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert effects == []
    assert await Guard(store, NS, "conv", wait_s=0.1).acall(create, {"subject": "a"}) == {"number": 1}
