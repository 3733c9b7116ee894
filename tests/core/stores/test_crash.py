"""Processes die at every point of a guarded call. What they did outside is counted in a file that only grows."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

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


def test_doubt_is_an_error_with_the_key(harness):
    harness.run("a", failpoint="after_started")

    @tool(effect="external_write", name="create")
    def create(subject: str): ...

    with pytest.raises(OutcomeUnknown) as unknown:
        Guard(harness.store, "default", "conv").call(create, {"subject": "a"})
    assert unknown.value.key == harness.rows()[0]["metadata"]["name"]


class Nursery:
    """What is left after many deaths: the effects outside, the answers that callers got, and the ledger."""

    def __init__(self, folder, kills, mode="ledger", seed=7):
        script = Path(__file__).with_name("crash_nursery.py")
        began = time.monotonic()
        command = [sys.executable, str(script), str(folder), str(kills), mode, str(seed)]
        environment = {**os.environ, "JOCH_LEASE_SECONDS": "60"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        self.seconds = time.monotonic() - began
        self.folder, self.deaths = folder, json.loads(done.stdout)
        self.world = [tuple(line) for line in self._lines("world")]
        self.answers = self._lines("answers")
        self.errors = self._lines("errors")
        self.counts = Counter(subject for _, subject, _, _ in self.world)

    def _lines(self, name):
        file = self.folder / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def tool_of(self, subject):
        return "put" if int(subject[1:]) % 3 == 0 else "create"

    def figures(self, rows):
        phases = Counter(row["status"]["phase"] for row in rows)
        effects = {name: sum(tool == name for tool, *_ in self.world) for name in ("create", "put")}
        repeated = {
            name: sum(count > 1 for subject, count in self.counts.items() if self.tool_of(subject) == name)
            for name in ("create", "put")
        }
        return {
            "deaths": self.deaths, "seconds": round(self.seconds, 1), "keys": len(rows), "phases": phases,
            "effects": effects, "keys with more than one effect": repeated, "answers": len(self.answers),
        }  # fmt: skip


def check_invariants(nursery, store):
    rows = {row["spec"]["input"]["subject"]: row for row in calls(store, "default", datetime.now(UTC))}
    listed = {row["metadata"]["name"] for row in calls(store, "default", datetime.now(UTC), in_doubt_only=True)}
    stamps = {}
    for _, subject, key, stamp in nursery.world:
        stamps.setdefault(subject, set()).add(stamp)
        assert key == rows[subject]["metadata"]["name"]  # every attempt saw the same key
    assert nursery.errors == []
    for subject, row in rows.items():
        phase, key, count = row["status"]["phase"], row["metadata"]["name"], nursery.counts[subject]
        assert phase in ("Succeeded", "Unknown"), (subject, phase)
        assert (phase == "Unknown") == (key in listed)
        if nursery.tool_of(subject) == "create":
            assert count == 1 if phase == "Succeeded" else count <= 1, (subject, phase, count)
        elif phase == "Succeeded":
            assert count >= 1
        if phase == "Succeeded":
            assert row["status"]["output"]["stamp"] in stamps[subject]
    for subject, value in nursery.answers:
        assert value["stamp"] in stamps[subject]
    assert list(store.check()) == []
    return list(rows.values())


def survivors_agree(nursery, store):
    """Whoever comes after all the deaths gets the one result, or is told of the doubt; nothing happens a second time."""
    effects = []

    def late(name, *, idempotent):
        def act(subject: str):
            effects.append(subject)
            return {"stamp": "late"}

        act.__name__ = name
        return tool(effect="external_write", idempotent=idempotent)(act)

    functions = {"create": late("create", idempotent=False), "put": late("put", idempotent=True)}
    for row in calls(store, "default", datetime.now(UTC)):
        subject, phase = row["spec"]["input"]["subject"], row["status"]["phase"]
        guard = Guard(store, "default", row["spec"]["conversationRef"]["name"])
        try:
            value = guard.call(functions[nursery.tool_of(subject)], {"subject": subject})
        except OutcomeUnknown:
            assert (phase, nursery.tool_of(subject)) == ("Unknown", "create")
        else:
            assert value == (row["status"]["output"] if phase == "Succeeded" else {"stamp": "late"})
    assert {nursery.tool_of(subject) for subject in effects} <= {"put"}


@pytest.mark.slow
def test_no_effect_happens_twice_whenever_a_process_dies(tmp_path):
    nursery = Nursery(tmp_path, kills=60)
    store = open_store(f"sqlite:///{tmp_path}/joch.db")

    rows = check_invariants(nursery, store)
    survivors_agree(nursery, store)

    store.close()
    assert nursery.deaths.get("not killed", 0) == 0
    assert nursery.figures(rows)["keys with more than one effect"]["create"] == 0
    assert len(nursery.world) >= 20


@pytest.mark.slow
def test_without_the_ledger_the_same_deaths_do_repeat_effects(tmp_path):
    nursery = Nursery(tmp_path, kills=60, mode="done-list")

    assert max(nursery.counts.values()) > 1


@pytest.mark.long
@pytest.mark.timeout(900)
def test_no_effect_happens_twice_in_five_hundred_deaths(tmp_path, capsys):
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    nursery = Nursery(tmp_path / "with", kills=500)
    store = open_store(f"sqlite:///{tmp_path}/with/joch.db")

    rows = check_invariants(nursery, store)
    figures = nursery.figures(rows)
    survivors_agree(nursery, store)
    control = Nursery(tmp_path / "without", kills=500, mode="done-list")

    store.close()
    repeated = sum(count > 1 for count in control.counts.values())
    with capsys.disabled():
        print("\nwith the ledger:", json.dumps(figures))
        print("without:", json.dumps({"deaths": control.deaths, "keys": len(control.counts), "repeated": repeated}))
    assert set(figures["deaths"]) == {"at random", *POINTS}
    assert figures["keys with more than one effect"]["create"] == 0
    assert repeated > 0
