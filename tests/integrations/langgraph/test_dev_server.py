"""The saver in `langgraph dev`, as the README configures it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph.checkpoint.joch import JochSaver

ROOT = Path(__file__).parents[3]
README = ROOT / "integrations" / "langgraph" / "README.md"
#: A Python that has `langgraph dev` and this checkpointer; without it a new environment is made.
PYTHON = "JOCH_LANGGRAPH_DEV_PYTHON"
_READY_S, _INSTALL_S = 90, 400

GRAPH = """
from typing import Annotated, TypedDict
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def agent(state: State) -> dict:
    return {"messages": [AIMessage(f"{len(state['messages'])} messages so far")]}


graph = StateGraph(State).add_node("agent", agent).add_edge(START, "agent").compile()
"""


def block(language: str, after: str) -> str:
    """The first block of a language in the README after a heading."""
    text = README.read_text(encoding="utf-8").partition(after)[2]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    if named := os.environ.get(PYTHON):
        return named
    folder = tmp_path_factory.mktemp("dev")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = ["langgraph-cli[inmem]", "-e", str(ROOT), "-e", str(README.parent)]
    try:
        subprocess.run(
            [python, "-m", "pip", "install", "-q", *packages], check=True, capture_output=True, timeout=_INSTALL_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"langgraph-cli[inmem] cannot be installed here: {type(error).__name__}")
    return python


class Server:
    """Talks to a running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")


@pytest.fixture
def server(python: str, tmp_path: Path) -> Iterator[Server]:
    heading = "## In `langgraph dev`"
    (tmp_path / "checkpointer.py").write_text(block("python", heading))
    (tmp_path / "graph.py").write_text(GRAPH)
    settings = {"dependencies": ["."], "graphs": {"agent": "./graph.py:graph"}, **json.loads(block("json", heading))}
    (tmp_path / "langgraph.json").write_text(json.dumps(settings))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = {
        **os.environ, "JOCH_STORE": f"sqlite:///{tmp_path / 'dev.db'}", "LANGSMITH_TRACING": "false", "NO_COLOR": "1"
    }  # fmt: skip
    command = [python, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            found = Server(f"http://127.0.0.1:{port}")
            _wait(found, child, tmp_path / "log")
            yield found
        finally:
            child.terminate()
            child.wait(30)


def _wait(server: Server, child: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        try:
            server.ask("GET", "/ok")
        except (urllib.error.URLError, OSError):
            assert child.poll() is None, log.read_text()[-3000:]
            time.sleep(0.3)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_server_keeps_its_threads_in_the_saver_and_nothing_blocks_its_loop(server: Server, tmp_path) -> None:
    thread = server.ask("POST", "/threads", {})["thread_id"]
    for turn in range(3):
        said = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": f"turn {turn}"}]}}
        end = server.ask("POST", f"/threads/{thread}/runs/wait", said)
    assert [one["content"] for one in end["messages"]][-2:] == ["turn 2", "5 messages so far"]
    history = server.ask("GET", f"/threads/{thread}/history?limit=50")
    copied = server.ask("POST", f"/threads/{thread}/copy", {})["thread_id"]
    state = server.ask("GET", f"/threads/{copied}/state")
    assert len(state["values"]["messages"]) == 6

    with JochSaver(f"sqlite:///{tmp_path / 'dev.db'}") as saver:
        lengths = {one.thread: one.checkpoints for one in saver.threads()}
        kept = saver.get_tuple({"configurable": {"thread_id": thread}})
    assert lengths[thread] == lengths[copied] == len(history)
    assert len(kept.checkpoint["channel_values"]["messages"]) == 6
    server.ask("DELETE", f"/threads/{thread}")
    with JochSaver(f"sqlite:///{tmp_path / 'dev.db'}") as saver:
        assert thread not in {one.thread for one in saver.threads()}
    log = (tmp_path / "log").read_text()
    assert "Using custom checkpointer: JochSaver" in log
    assert "BlockingError" not in log
    assert "Blocking call" not in log


def test_the_readme_shows_a_file_that_gives_a_saver(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("JOCH_HOME", str(tmp_path))
    heading = "## In `langgraph dev`"
    file, _, name = json.loads(block("json", heading))["checkpointer"]["path"].partition(":")
    found: dict = {}
    exec(compile(block("python", heading), file, "exec"), found)

    assert isinstance(found[name](), JochSaver)
    assert sys.version_info >= (3, 11)
