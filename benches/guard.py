"""What the guard of side effects costs: nothing that can be measured for a read, two durable writes for an effect.

`python benches/guard.py [FOLDER]`; the folder says which disk is measured (default: a temporary one).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joch_core import Joch, tool
from joch_core.resources.tools import ToolVerdict
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard

READS, EFFECTS = 5_000, 300


@tool(effect="read")
def look(subject: str) -> dict[str, str]:
    return {"found": subject}


@tool(effect="external_write")
def create(subject: str) -> dict[str, str]:
    return {"created": subject}


def timed(times: int, work: Callable[[int], object]) -> float:
    """Microseconds of one, the median of all."""
    spent = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        spent.append((time.perf_counter() - began) * 1e6)
    return statistics.median(spent)


def counted(store: Any, work: Callable[[], object]) -> int:
    """How many write transactions a piece of work makes."""
    real, writes = store.database.writing, []

    @contextmanager
    def writing() -> Any:
        writes.append(1)
        with real() as cursor:
            yield cursor

    store.database.writing = writing
    try:
        work()
    finally:
        store.database.writing = real
    return len(writes)


def main(folder: str) -> None:
    store: Any = open_store(f"sqlite:///{folder}/guard.db")
    guard = Guard(store, "default", "conv")
    judged = Guard(store, "default", "conv", judge=lambda _facts: ToolVerdict())
    guard.call(create, {"subject": "warm"})

    print(f"a read, bare                     {timed(READS, lambda n: look(str(n))):9.1f} µs")
    print(f"a read, guarded                  {timed(READS, lambda n: guard.call(look, {'subject': str(n)})):9.1f} µs")
    print(f"a read, guarded and judged       {timed(READS, lambda n: judged.call(look, {'subject': str(n)})):9.1f} µs")
    print(f"  write transactions             {counted(store, lambda: guard.call(look, {'subject': 'a'})):9d}")

    def durable(number: int) -> None:
        with store.database.writing() as cursor:
            cursor.execute("INSERT INTO joch_counter (namespace, name, value) VALUES ('bench', ?, 1)", (str(number),))

    print(f"one durable write of this disk   {timed(EFFECTS, durable):9.1f} µs")
    print(f"an effect, first time            {timed(EFFECTS, lambda n: guard.call(create, {'subject': str(n)})):9.1f} µs")
    print(f"  write transactions             {counted(store, lambda: guard.call(create, {'subject': 'new'})):9d}")
    print(f"an effect, done before           {timed(EFFECTS, lambda n: guard.call(create, {'subject': str(n)})):9.1f} µs")
    print(f"  write transactions             {counted(store, lambda: guard.call(create, {'subject': 'new'})):9d}")
    store.close()
    with Joch(store=f"sqlite:///{folder}/joch.db") as joch:
        joch.guard(conversation="conv")
        print(f"joch.guard(conversation=…)       {timed(200, lambda _n: joch.guard(conversation='conv')):9.1f} µs")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(str(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(made)
