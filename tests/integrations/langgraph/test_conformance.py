from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.checkpoint.joch import JochSaver


class ThroughSync(JochSaver):
    """The synchronous methods behind the asynchronous names, so that the official suite reaches them."""

    async def aget_tuple(self, config):
        return self.get_tuple(config)

    async def alist(self, config, **conditions) -> AsyncIterator:
        for one in self.list(config, **conditions):
            yield one

    async def aput(self, config, checkpoint, metadata, new_versions):
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, config, writes, task_id, task_path=""):
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id):
        self.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids):
        self.delete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id, target_thread_id):
        self.copy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids, *, strategy="keep_latest"):
        self.prune(thread_ids, strategy=strategy)


@pytest.mark.parametrize("kind", [JochSaver, ThroughSync])
async def test_every_capability_of_the_official_suite_is_there_and_passes(kind, make_store) -> None:
    @checkpointer_test("JochSaver")
    async def registered():
        yield kind(make_store())

    report = await validate(registered)

    failures = [failure for result in report.results.values() for failure in result.failures]
    assert not failures
    assert set(report.results) == {capability.value for capability in ALL_CAPABILITIES}
    assert all(result.detected and result.passed and result.tests_passed for result in report.results.values())
    assert report.conformance_level() == "FULL"


def test_the_official_suite_passes_in_strict_mode_too() -> None:
    environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}

    run = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-k", "every_capability", "-p", "no:cacheprovider"],
        env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout[-3000:]
