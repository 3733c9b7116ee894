"""Raises processes that make guarded calls, kills them at random moments and at each border, and counts the deaths.

Usage: crash_nursery.py FOLDER KILLS ledger|done-list SEED. Effects are lines of FOLDER/world. With `done-list` there is no
ledger: the workers note what is done after they have done it, as a framework with checkpoints does.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from joch_core.errors import CallInProgress, OutcomeUnknown
from joch_core.resources.tools import tool
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard

PROCESSES = 4
BORDERS = ("after_started", "before_effect", "after_effect", "before_completed", "after_completed")
LONGEST_LIFE_S = 0.2
CONVERSATIONS = 8


def append(file, *fields):
    """One line that is there whole or not at all, whatever happens to this process afterwards."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (json.dumps(fields) + "\n").encode())
    os.close(descriptor)


def worker(folder, mode, dice, base, border):
    def effect(name):
        def act(subject: str, *, joch_key: str = ""):
            stamp = f"{os.getpid()}-{dice.random()}"
            time.sleep(dice.uniform(0, 0.003))
            append(folder / "world", name, subject, joch_key, stamp)
            time.sleep(dice.uniform(0, 0.003))
            return {"stamp": stamp}

        act.__name__ = name
        return act

    create = tool(effect="external_write")(effect("create"))
    put = tool(effect="external_write", idempotent=True)(effect("put"))
    store = open_store(f"sqlite:///{folder}/joch.db")
    fatal_call, number = dice.randrange(3), 0
    while True:
        at = base + dice.randrange(6) if dice.random() < 0.7 else dice.randrange(base + 6)
        subject, function = f"s{at}", put if at % 3 == 0 else create
        os.environ["JOCH_FAILPOINT"] = border if border and number == fatal_call else ""
        number += 1
        if mode == "done-list":
            if not (folder / "done" / subject).exists():
                function(subject)
                (folder / "done" / subject).touch()
            continue
        guard = Guard(store, "default", f"conv{at % CONVERSATIONS}", wait_s=0.3)
        with contextlib.suppress(OutcomeUnknown, CallInProgress):
            append(folder / "answers", subject, guard.call(function, {"subject": subject}))


def raise_one(folder, mode, dice, base):
    """(pid, when it must die, where it will die by itself)."""
    border = dice.choice(BORDERS) if mode == "ledger" and dice.random() < 0.5 else ""
    seed, life_s = dice.random(), 1.0 if border else dice.uniform(0.0, LONGEST_LIFE_S)
    pid = os.fork()
    if pid == 0:
        try:
            worker(folder, mode, random.Random(seed), base, border)
        except BaseException as error:
            append(folder / "errors", repr(error))
        os._exit(1)
    return pid, time.monotonic() + life_s, border


def main(folder, kills, mode, seed):
    dice, deaths = random.Random(seed), Counter()
    (folder / "done").mkdir()
    open_store(f"sqlite:///{folder}/joch.db").head("default", "x")
    living = []
    while deaths.total() < kills:
        while len(living) < PROCESSES:
            living.append(raise_one(folder, mode, dice, deaths.total()))
        time.sleep(0.002)
        for one in list(living):
            pid, until, border = one
            gone, status = os.waitpid(pid, os.WNOHANG)
            if not gone and time.monotonic() >= until:
                os.kill(pid, signal.SIGKILL)
                border, (gone, status) = "at random", os.waitpid(pid, 0)
            if gone:
                living.remove(one)
                deaths[border if os.WIFSIGNALED(status) else "not killed"] += 1
    for pid, _, _ in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deaths["at random"] += 1
    print(json.dumps(deaths))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
