"""Threads of the stock checkpointers, taken over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.joch import JochSaver, TypeNotAllowed, import_threads, open_source
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import _messages_delta_reducer, add_messages
from langgraph.types import Command, interrupt

from joch_core import InvalidArgument, StoreError
from joch_core.cli.main import run

KEY = bytes(range(32))


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    note: str


class DeltaState(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(_messages_delta_reducer)]


class Invoice:
    def __init__(self, number: int) -> None:
        self.number = number

    def model_dump(self) -> dict:
        return {"number": self.number}

    def __eq__(self, other) -> bool:
        return type(other) is Invoice and other.number == self.number

    __hash__ = None


def config(thread: str) -> dict:
    return {"configurable": {"thread_id": thread}}


def build(saver, state=State):
    """A graph with an inner graph; it stops to ask before its last node."""
    inner = StateGraph(state)
    inner.add_node("think", lambda state: {"messages": [AIMessage("thought", id=f"t{len(state['messages'])}")]})
    inner.add_edge(START, "think")
    builder = StateGraph(state)
    builder.add_node("agent", inner.compile())
    builder.add_node("ask", lambda state: {"messages": [AIMessage(interrupt("sure?"), id=f"a{len(state['messages'])}")]})
    builder.add_edge(START, "agent")
    builder.add_edge("agent", "ask")
    return builder.compile(checkpointer=saver)


def talk(saver, thread: str, turns: int = 3, state=State) -> None:
    """Some turns; the last one waits for its answer."""
    graph = build(saver, state)
    for turn in range(turns):
        graph.invoke({"messages": [HumanMessage(f"turn {turn}", id=f"h{turn}")]}, config(thread))
        if turn + 1 < turns:
            graph.invoke(Command(resume="yes"), config(thread))


@pytest.fixture
def stock(tmp_path: Path) -> str:
    """A file that the stock saver wrote: three threads, one of them with a delta channel."""
    with SqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
        talk(saver, "one")
        talk(saver, "two", turns=5)
        talk(saver, "delta", state=DeltaState)
    return f"sqlite:///{tmp_path / 'stock.db'}"


def everything(saver, thread: str) -> list:
    return [
        (one.config, one.checkpoint, one.metadata, one.parent_config, one.pending_writes)
        for one in saver.list(config(thread))
    ]


def test_every_checkpoint_comes_over_as_it_is_with_its_writes(stock: str, make_store) -> None:
    saver = JochSaver(make_store())
    with open_source(stock) as source:
        report = import_threads(source, saver)

        assert (report.threads, report.differences) == (3, [])
        assert report.imported == report.checkpoints > 20
        assert report.writes > report.checkpoints
        for thread in ("one", "two", "delta"):
            assert everything(saver, thread) == everything(source, thread)


@pytest.mark.parametrize(("thread", "state"), [("one", State), ("delta", DeltaState)])
def test_a_run_goes_on_where_it_waited(stock: str, make_store, thread: str, state: type) -> None:
    saver = JochSaver(make_store())
    with open_source(stock) as source:
        import_threads(source, saver)
    reference = InMemorySaver()
    talk(reference, thread, state=state)

    ends = [build(one, state).invoke(Command(resume="yes"), config(thread)) for one in (saver, reference)]

    assert ends[0] == ends[1]
    assert len(ends[0]["messages"]) == 9


def test_the_source_is_not_written(stock: str, make_store) -> None:
    file = Path(stock.removeprefix("sqlite:///"))
    before = file.read_bytes()

    with open_source(stock) as source, pytest.raises(sqlite3.OperationalError, match="readonly"):
        source.delete_thread("one")
    with open_source(stock) as source:
        import_threads(source, JochSaver(make_store()))

    assert file.read_bytes() == before


def test_a_second_import_takes_only_what_is_new(stock: str, make_store, tmp_path) -> None:
    saver = JochSaver(make_store())
    with open_source(stock) as source:
        first = import_threads(source, saver)
    with SqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as live:
        build(live).invoke(Command(resume="yes"), config("one"))

    with open_source(stock) as source:
        second = import_threads(source, saver)
        third = import_threads(source, saver)

        assert 0 < second.imported == second.checkpoints - first.checkpoints
        assert (second.differences, third.imported) == ([], 0)
        assert everything(saver, "one") == everything(source, "one")


def test_an_import_that_was_killed_goes_on(tmp_path, make_store) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
        talk(saver, "long", turns=16)
    stock = f"sqlite:///{tmp_path / 'stock.db'}"
    code = (
        "import sys\nfrom langgraph.checkpoint.joch import JochSaver, import_threads, open_source\n"
        "with open_source(sys.argv[1]) as source:\n"
        "    import_threads(source, JochSaver(sys.argv[2]), progress=lambda done, total: print(done, flush=True))\n"
    )
    command = [sys.executable, "-c", code, stock, f"sqlite:///{tmp_path / 'graphs.db'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert int(child.stdout.readline()) > 0
        os.kill(child.pid, signal.SIGKILL)

    saver = JochSaver(make_store())
    with open_source(stock) as source:
        report = import_threads(source, saver)

        assert 0 < report.imported < report.checkpoints
        assert report.differences == []
        assert everything(saver, "long") == everything(source, "long")


def test_what_the_target_already_has_stays(stock: str, make_store) -> None:
    saver = JochSaver(make_store())
    talk(saver, "mine")
    before = everything(saver, "mine")

    with open_source(stock) as source:
        import_threads(source, saver)

    assert everything(saver, "mine") == before
    assert [one.thread for one in saver.threads()] == ["delta", "mine", "one", "two"]


def test_a_type_that_was_not_allowed_is_never_loaded(tmp_path, make_store) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
        state = {**empty_checkpoint(), "channel_values": {"x": Invoice(7)}, "channel_versions": {"x": "1"}}
        saver.put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, state, {}, {"x": "1"})
    stock, name = f"sqlite:///{tmp_path / 'stock.db'}", (Invoice.__module__, "Invoice")

    with open_source(stock) as source, pytest.raises(TypeNotAllowed, match="Invoice"):
        import_threads(source, JochSaver(make_store()))
    with open_source(stock, allow=[name]) as source:
        target = JochSaver(make_store(), allow=[name])
        assert import_threads(source, target).differences == []

    assert target.get_tuple(config("t")).checkpoint["channel_values"]["x"] == Invoice(7)


def test_a_plain_store_is_encrypted_by_taking_it_over(make_store, tmp_path) -> None:
    plain = JochSaver(make_store("plain"))
    talk(plain, "one")
    with open_source(f"sqlite:///{tmp_path / 'plain.db'}") as source:
        secret = JochSaver(make_store("secret"), encrypt=KEY)
        assert import_threads(source, secret).differences == []

    assert everything(secret, "one") == everything(plain, "one")
    assert b"turn 0" not in b"".join(path.read_bytes() for path in tmp_path.glob("secret.db*"))


def test_another_checkpointer_is_refused_by_name(make_store) -> None:
    with pytest.raises(InvalidArgument, match="InMemorySaver"):
        import_threads(InMemorySaver(), JochSaver(make_store()))


# ------------------------------------------------------------------------------------------------------- command line
@pytest.fixture
def joch(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JOCH_HOME", str(tmp_path / "home"))
    for name in ("JOCH_STORE", "JOCH_RESOURCES", "JOCH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str):
        code = run(["langgraph", *arguments])
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return command


def test_the_command_says_what_it_did_and_is_quiet_on_standard_error(stock: str, joch) -> None:
    code, out, err = joch("import", "--from", stock, "-o", "json")
    report = json.loads(out)
    again = json.loads(joch("import", "--from", stock, "-o", "json")[1])

    assert (code, err, report["verified"], report["threads"]) == (0, "", True, 3)
    assert report["imported"] == report["checkpoints"] == again["alreadyThere"]
    code, out, _ = joch("threads", "-o", "json")
    assert [(one["thread"], one["updated"][:2]) for one in json.loads(out)] == [
        ("delta", "20"),
        ("one", "20"),
        ("two", "20"),
    ]


def test_the_command_encrypts_and_names_no_key(stock: str, joch, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CHECKPOINT_KEY", KEY.hex())

    code, out, err = joch("import", "--from", stock, "--encrypt", "env:CHECKPOINT_KEY")
    wrong = joch("import", "--from", stock, "--encrypt", KEY.hex())

    assert code == 0
    assert wrong[0] == 2
    assert KEY.hex() not in out + err + wrong[1] + wrong[2]
    assert b"turn 0" not in b"".join(path.read_bytes() for path in (tmp_path / "home").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("import",), 2, "--from"),
        (("import", "--from", "sqlite:///nowhere.db"), 2, "nowhere.db"),
        (("import", "--from", "mongodb://x"), 2, "sqlite:///"),
        (("import", "--from", "postgresql://ann:geheim@127.0.0.1:1/x"), 3, "cannot be read"),
        (("prune",), 2, "--older-than"),
        (("prune", "nobody"), 1, "nobody"),
        (("prune", "--older-than", "soon"), 2, "span"),
    ],
)
def test_what_goes_wrong_is_one_sentence_with_its_exit_code(joch, arguments, code: int, said: str) -> None:
    found, out, err = joch(*arguments)

    assert (found, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1
    assert "geheim" not in err
    assert "Traceback" not in err


def test_a_file_without_checkpoints_and_a_file_that_is_no_database_are_told_apart_from_a_missing_one(joch, tmp_path) -> None:
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE x (y)").connection.close()
    (tmp_path / "text.db").write_text("no database at all, but long enough to look at, " * 20)

    for name in ("empty.db", "text.db"):
        assert joch("import", "--from", f"sqlite:///{tmp_path / name}")[0] == 3


def test_a_foreign_type_is_named_with_the_flag_that_allows_it(joch, tmp_path) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
        state = {**empty_checkpoint(), "channel_values": {"x": Invoice(7)}, "channel_versions": {"x": "1"}}
        saver.put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, state, {}, {"x": "1"})

    code, _, err = joch("import", "--from", f"sqlite:///{tmp_path / 'stock.db'}")

    assert code == 2
    assert f"--allow {Invoice.__module__}:Invoice" in err


def test_threads_are_shortened_whole_by_name_or_by_age(stock: str, joch) -> None:
    joch("import", "--from", stock)

    assert joch("prune", "one")[0] == 0
    assert joch("prune", "--older-than", "1d", "--delete", "-o", "json")[1:] == (
        '{\n  "threads": [],\n  "strategy": "delete"\n}\n', ""
    )  # fmt: skip
    lengths = {one["thread"]: one["checkpoints"] for one in json.loads(joch("threads", "-o", "json")[1])}
    assert lengths["one"] < lengths["two"]
    assert json.loads(joch("prune", "--older-than", "0s", "--delete", "-o", "json")[1])["threads"] == ["delta", "one", "two"]
    assert joch("threads", "-o", "json")[1] == "[]\n"


def test_only_threads_that_nobody_wrote_for_that_long_expire(make_store) -> None:
    saver = JochSaver(make_store())
    talk(saver, "old")
    time.sleep(0.3)
    talk(saver, "new", turns=1)

    assert saver.expire(timedelta(hours=1)) == []
    age = next(one.updated for one in saver.threads() if one.thread == "new") - next(
        one.updated for one in saver.threads() if one.thread == "old"
    )
    assert timedelta() < age < timedelta(seconds=30)
    assert saver.expire(timedelta(), strategy="keep_latest") == ["new", "old"]
    assert all(one.checkpoints <= 2 for one in saver.threads())


def test_a_thread_whose_ids_hold_no_time_stays(make_store) -> None:
    saver = JochSaver(make_store())
    saver.put({"configurable": {"thread_id": "t"}}, {**empty_checkpoint(), "id": "00000001"}, {}, {})

    assert saver.expire(timedelta()) == []
    assert [(one.thread, one.updated) for one in saver.threads()] == [("t", None)]


# --------------------------------------------------------------------------------------------------------- PostgreSQL
def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a server of this test's own."""
    pytest.importorskip("langgraph.checkpoint.postgres", reason="langgraph-checkpoint-postgres is not installed")
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("no PostgreSQL server is installed")
    folder = Path(tempfile.mkdtemp(prefix="joch-postgres-"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = "postgres"
    port = _free_port()

    def server(*command: str) -> None:
        subprocess.run(command, user=user, cwd=folder, check=True, capture_output=True, timeout=60)

    data, options = str(folder / "data"), f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    server("initdb", "-D", data, "-U", "joch", "-A", "trust", "-E", "UTF8", "--no-sync")
    server("pg_ctl", "-D", data, "-o", options, "-w", "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://joch@127.0.0.1:{port}/postgres"
    finally:
        server("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_threads_come_over_from_postgresql(postgres: str, make_store, joch) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    with pytest.raises(StoreError, match="no checkpoints"), open_source(postgres):
        pass
    with PostgresSaver.from_conn_string(postgres) as saver:
        saver.setup()
        talk(saver, "one")
        talk(saver, "delta", state=DeltaState)
    mine = JochSaver(make_store())

    with open_source(postgres) as source:
        report = import_threads(source, mine)

        assert (report.threads, report.differences) == (2, [])
        assert report.imported == report.checkpoints
        for thread in ("one", "delta"):
            assert everything(mine, thread) == everything(source, thread)
    assert json.loads(joch("import", "--from", postgres, "-o", "json")[1])["verified"]
