"""Processes die at every point of a guarded call. What they did outside is counted in a file that only grows."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from joch_core.errors import OutcomeUnknown
from joch_core.resources.tools import tool
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard, calls, resolve

WORKER = """
import json, os, sys, time
from joch_core.resources.tools import tool
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard
from joch_core.errors import JochError

folder, journal, idempotent, pause_s, *subjects = sys.argv[1:]

def create(subject: str, *, joch_key: str = ""):
    descriptor = os.open(folder + "/world", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (json.dumps([subject, joch_key, os.getpid()]) + "\\n").encode())
    os.close(descriptor)
    time.sleep(float(pause_s))
    return {"subject": subject, "by": os.getpid()}

create = tool(effect="external_write", idempotent=idempotent == "yes")(create)
guard = Guard(open_store("sqlite:///" + folder + "/joch.db"), "default", "conv")
print("ready", flush=True)
for subject in subjects:
    try:
        value = guard.call(create, {"subject": subject}) if journal == "yes" else create(subject)
    except JochError as error:
        value = {"error": error.kind}
    print(json.dumps(value), flush=True)
"""


class Harness:
    def __init__(self, folder):
        self.folder = folder
        self.store = open_store(f"sqlite:///{folder}/joch.db")

    def start(self, *subjects, failpoint="", journal="yes", idempotent="no", pause_s=0.0, lease_s=60.0):
        arguments = [sys.executable, "-c", WORKER, str(self.folder), journal, idempotent, str(pause_s), *subjects]
        environment = {**os.environ, "JOCH_FAILPOINT": failpoint, "JOCH_LEASE_SECONDS": str(lease_s)}
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)

    def run(self, *subjects, **options):
        worker = self.start(*subjects, **options)
        return self.answers(worker)

    def answers(self, worker):
        out, _ = worker.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()[1:]]

    def effects(self):
        world = self.folder / "world"
        return [json.loads(line) for line in world.read_text().splitlines()] if world.exists() else []

    def rows(self):
        return calls(self.store, "default", datetime.now(UTC))


@pytest.fixture
def harness(tmp_path):
    made = Harness(tmp_path)
    yield made
    made.store.close()


POINTS = {"after_started": 0, "before_effect": 0, "after_effect": 1, "before_completed": 1, "after_completed": 1}


@pytest.mark.parametrize(("point", "effects"), POINTS.items())
def test_a_process_that_dies_there_leaves_no_second_effect(harness, point, effects):
    assert harness.run("a", failpoint=point) == []
    assert len(harness.effects()) == effects

    (answer,) = harness.run("a")

    assert len(harness.effects()) == effects
    (row,) = harness.rows()
    if point == "after_completed":
        assert answer["subject"] == "a"
        assert row["status"]["phase"] == "Succeeded"
    else:
        assert answer == {"error": "outcome_unknown"}
        assert row["status"]["phase"] == "Unknown"
    assert list(harness.store.check()) == []


@pytest.mark.parametrize("point", ["after_started", "after_effect"])
def test_an_idempotent_tool_is_run_again_with_the_same_key(harness, point):
    harness.run("a", failpoint=point, idempotent="yes")

    (answer,) = harness.run("a", idempotent="yes")

    assert answer["subject"] == "a"
    assert len({key for _, key, _ in harness.effects()}) == 1


def test_without_the_ledger_the_same_death_does_repeat_the_effect(harness):
    worker = harness.start("a", journal="no", pause_s=30)
    while not harness.effects():
        time.sleep(0.01)
    worker.kill()
    worker.communicate()

    harness.run("a", journal="no")

    assert len(harness.effects()) == 2


def test_a_call_in_doubt_is_settled_by_hand(harness):
    harness.run("a", "b", failpoint="after_effect")
    (row,) = harness.rows()

    resolve(harness.store, "default", row["metadata"]["name"], "done", datetime.now(UTC), result={"subject": "found"})

    assert harness.run("a", "b")[0] == {"subject": "found"}
    assert [subject for subject, _, _ in harness.effects()] == ["a", "b"]


def test_of_eight_processes_one_runs_and_seven_get_its_result(harness):
    workers = [harness.start("a", pause_s=1.0) for _ in range(8)]

    answers = [harness.answers(worker)[0] for worker in workers]

    assert len(harness.effects()) == 1
    assert answers == [answers[0]] * 8
    assert answers[0]["by"] in {worker.pid for worker in workers}


def test_a_stopped_process_that_wakes_up_does_not_overwrite_a_decision(harness):
    worker = harness.start("a", pause_s=0.5, lease_s=0.4)
    while not harness.effects():
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(0.8)
    (row,) = harness.rows()
    assert row["status"]["phase"] == "Unknown"
    resolve(harness.store, "default", row["metadata"]["name"], "done", datetime.now(UTC), result={"subject": "by hand"})

    os.kill(worker.pid, signal.SIGCONT)

    assert harness.answers(worker) == [{"error": "outcome_unknown"}]
    assert harness.run("a") == [{"subject": "by hand"}]
    assert len(harness.effects()) == 1


def test_a_long_call_keeps_its_lease(harness):
    worker = harness.start("a", pause_s=1.5, lease_s=0.6)
    while not harness.effects():
        time.sleep(0.01)
    time.sleep(1.0)

    assert [row["status"]["phase"] for row in harness.rows()] == ["Running"]
    assert harness.answers(worker)[0]["subject"] == "a"


def test_a_full_disk_starts_nothing(harness):
    @tool(effect="external_write")
    def create():
        raise AssertionError("must not run")

    harness.store.head("default", "x")
    writer = harness.store.database._writer
    writer.execute(f"PRAGMA max_page_count = {writer.execute('PRAGMA page_count').fetchone()[0]}")
    guard = Guard(harness.store, "default", "x" * 5000)

    with pytest.raises(Exception, match="room"):
        guard.call(create)


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["yes", "no"])
def test_random_deaths(harness, journal):
    dice, subjects = random.Random(7), [f"s{number}" for number in range(60)]
    killed = 0
    deadline = time.monotonic() + 60
    while killed < 60 and time.monotonic() < deadline:
        workers = [harness.start(*subjects, journal=journal, pause_s=0.004) for _ in range(2)]
        for worker in workers:
            worker.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.12))
        for worker in workers:
            worker.kill()
            worker.communicate()
            killed += 1

    counts = Counter(subject for subject, _, _ in harness.effects())
    if journal == "no":
        assert max(counts.values()) > 1
        return
    phases = {row["spec"]["input"]["subject"]: row["status"]["phase"] for row in harness.rows()}
    assert max(counts.values()) == 1
    assert "Running" not in phases.values()
    for subject, phase in phases.items():
        assert counts[subject] == 1 if phase == "Succeeded" else counts[subject] <= 1
    assert set(counts) <= set(phases)
    assert list(harness.store.check()) == []


def test_doubt_is_an_error_with_the_key(harness):
    harness.run("a", failpoint="after_started")

    @tool(effect="external_write", name="create")
    def create(subject: str): ...

    with pytest.raises(OutcomeUnknown) as unknown:
        Guard(harness.store, "default", "conv").call(create, {"subject": "a"})
    assert unknown.value.key == harness.rows()[0]["metadata"]["name"]
