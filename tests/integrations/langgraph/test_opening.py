from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.joch import JochSaver

from joch_core import InvalidArgument, StoreError, open_store

CONFIG = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def put(saver: JochSaver) -> None:
    saver.put(CONFIG, empty_checkpoint(), {"source": "loop"}, {})


def test_a_saver_from_a_url_is_usable_at_once(tmp_path) -> None:
    saver = JochSaver.from_conn_string(f"sqlite:///{tmp_path}/x.db")

    put(saver)

    assert saver.get_tuple(CONFIG) is not None
    saver.close()
    saver.close()


def test_a_saver_closes_what_it_opened_at_the_end_of_its_block(tmp_path) -> None:
    with JochSaver.from_conn_string(f"sqlite:///{tmp_path}/x.db") as saver:
        put(saver)

    with pytest.raises(StoreError, match="closed"):
        saver.get_tuple(CONFIG)
    with JochSaver.from_conn_string(f"sqlite:///{tmp_path}/x.db") as again:
        assert again.get_tuple(CONFIG) is not None


async def test_an_asynchronous_block_does_the_same(tmp_path) -> None:
    async with JochSaver.from_conn_string(f"sqlite:///{tmp_path}/x.db") as saver:
        await saver.asetup()
        await saver.aput(CONFIG, empty_checkpoint(), {}, {})
        assert await saver.aget_tuple(CONFIG) is not None

    with pytest.raises(StoreError, match="closed"):
        await saver.aget_tuple(CONFIG)


def test_a_store_that_was_handed_in_stays_open(tmp_path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/x.db")

    with JochSaver(store) as saver:
        put(saver)
        assert saver.joch_store is store

    assert JochSaver(store).get_tuple(CONFIG) is not None
    store.close()


def test_nothing_is_opened_before_the_first_use(tmp_path) -> None:
    saver = JochSaver(f"sqlite:///{tmp_path}/deep/x.db")

    assert not (tmp_path / "deep").exists()
    saver.setup()
    saver.get_tuple(CONFIG)
    assert (tmp_path / "deep" / "x.db").exists()
    saver.close()


def test_the_default_store_comes_from_the_environment(tmp_path) -> None:
    code = (
        "from langgraph.checkpoint.joch import JochSaver\n"
        "saver = JochSaver(); saver.get_tuple({'configurable': {'thread_id': 't'}}); print(saver.joch_store.url)"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("JOCH_")}

    def run(**more: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env=bare | more, capture_output=True, text=True, check=True
        ).stdout

    assert run(JOCH_HOME=str(tmp_path / "home")).strip() == f"sqlite:///{tmp_path}/home/joch.db"
    assert run(JOCH_STORE=f"sqlite:///{tmp_path}/own.db").strip() == f"sqlite:///{tmp_path}/own.db"
    assert (tmp_path / "own.db").exists()


def test_a_url_of_unknown_form_is_refused_with_the_forms_there_are() -> None:
    with pytest.raises(InvalidArgument, match="sqlite:///"):
        JochSaver("mongodb://x").setup()


def test_a_copy_shares_the_store_also_when_it_was_made_before_the_first_use(tmp_path) -> None:
    saver = JochSaver(f"sqlite:///{tmp_path}/x.db")
    clone = copy.copy(saver)

    put(clone)

    assert saver.get_tuple(CONFIG) is not None
    assert saver.joch_store is clone.joch_store
    saver.close()


def test_a_saver_in_memory_works_from_any_thread() -> None:
    saver = JochSaver("sqlite:///:memory:")
    worker = threading.Thread(target=put, args=(saver,))
    worker.start()
    worker.join()

    assert saver.get_tuple(CONFIG) is not None
    assert len(list(saver.list(None))) == 1


def test_the_namespace_package_stays_open_for_others() -> None:
    import langgraph.checkpoint
    import langgraph.checkpoint.memory

    assert langgraph.checkpoint.__spec__.origin is None
