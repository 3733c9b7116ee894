"""`joch trace --html`: one page that asks the network for nothing, shows the switch, and keeps what a model wrote as data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from joch_core.app.page import page
from joch_core.resources.events import Event

_BEGIN = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)
_EVIL = '</pre><script>alert(1)</script><img src="https://evil.example/x.png" onerror="alert(2)">'


def _event(sequence: int, type_: str, **payload: Any) -> Event:
    return Event("conversation/c", sequence, type_, payload, _BEGIN + timedelta(seconds=sequence), execution="exec-1")


def _conversation(turns: int, text: str = "hello") -> list[Event]:
    """Turns on one backend, a switch in the middle, the rest on another."""
    rows: list[Event] = []

    def add(type_: str, **payload: Any) -> None:
        rows.append(_event(len(rows) + 1, type_, **payload))

    for turn in range(turns):
        backend = "openai:gpt" if turn < turns // 2 else "anthropic:claude"
        if turn == turns // 2:
            add("ModelCallFailed", backend="openai:gpt", kind="overloaded", status=503, message=text, latencyMs=1)
            add("CheckpointCreated", name="chk-1", spec={"goal": text, "pinned": ["never delete"]})
            deltas = [{"level": "warn", "code": "reasoning.dropped", "text": "Reasoning stays behind"}]
            add("ProviderSwitched", fromProvider="openai:gpt", toProvider=backend, reason="outage", capabilityDeltas=deltas)
        add("MessageAdded", message={"role": "user", "parts": [{"type": "text", "text": text}]})
        verdicts = [{"backend": backend, "verdict": "eligible", "code": "ok", "reason": text}]
        add("RouteDecided", route="r", candidates=verdicts)
        add("ToolCallRequested", tool="pay", effect="external_write", key="k" * 64, args={"note": text})
        add("ToolCallCompleted", tool="pay", phase="Succeeded", output=text, key="k" * 64, effect="external_write")
        answer = {"model": "m", "finish": "stop", "inputTokens": 5, "outputTokens": 6, "costUsd": "0.000001", "latencyMs": 3}
        add("ModelCallCompleted", backend=backend, **answer)
    return rows


class _Reader(HTMLParser):
    """The elements and attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_what_a_model_or_a_tool_wrote_stays_text() -> None:
    seen = _Reader(page(_EVIL, _conversation(4, _EVIL)))
    assert not seen.tags & {"script", "img", "iframe", "object", "form"}
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert [
        value for name, value in seen.attributes if name in {"src", "href"} and not value.startswith(("#", "data:"))
    ] == []
    assert _Reader(_EVIL).tags == {"script", "img"}  # the reader would have seen it


def test_the_page_tells_verdicts_effects_the_checkpoint_and_the_switch() -> None:
    text = page("conv", _conversation(4))
    for said in (
        '<th scope="col">verdict</th>',
        "Effect: <b>external_write</b>",
        "State: <b>Succeeded</b>",
        "<li>never delete</li>",
        "openai:gpt → anthropic:claude (outage)",
        "Reasoning stays behind",
    ):  # fmt: skip
        assert said in text
    assert page("conv", []).count("The provider never changed.") == 1


def test_the_command_writes_the_page_whole_or_says_why_not(joch: Callable[..., Any], tmp_path: Path) -> None:
    told = joch("demo", "--html", tmp_path / "demo.html", "-o", "json")
    assert told.code == 0, told.err
    name = told.data["conversation"]
    assert "provider switched: openai:" in (tmp_path / "demo.html").read_text(encoding="utf-8")
    written = joch("trace", name, "--html", tmp_path / "page.html")
    assert written.code == 0
    events = int(written.out.split()[0])
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count('<li id="event-') == events > 20
    refused = joch("trace", name, "--html", tmp_path / "absent" / "page.html")
    assert (refused.code, refused.out) == (2, "")
    assert "--html: cannot write" in refused.err
    assert "Traceback" not in refused.err
    assert joch("trace", name, "--html", tmp_path / "x.html", "--follow").code == 2


# ---------------------------------------------------------------------------------------------------- a real browser

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class _Tab:
    """A tab of a headless browser, driven over its own debugging protocol."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._last = socket, 0
        self.seen: list[dict[str, Any]] = []

    def do(self, method: str, **params: Any) -> Any:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == self._last:
                assert "error" not in message, message
                return message["result"]
            self.seen.append(message)

    def value(self, expression: str) -> Any:
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **typed)


@contextmanager
def _browser(folder: Path) -> Iterator[_Tab]:
    from websockets.sync.client import connect

    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = f"--disable-component-update --disable-sync --remote-debugging-port=0 --user-data-dir={folder} about:blank"
    with subprocess.Popen([str(_CHROMIUM), *flags.split(), *more.split()], stderr=subprocess.DEVNULL) as process:
        try:
            port_file = folder / "DevToolsActivePort"
            until = time.monotonic() + 60
            while not port_file.exists() or "\n" not in port_file.read_text():
                assert time.monotonic() < until, "the browser did not start"
                time.sleep(0.1)
            port = port_file.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                address = next(tab for tab in json.load(answer) if tab["type"] == "page")["webSocketDebuggerUrl"]
            with connect(address, max_size=None) as socket:
                yield _Tab(socket)
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium here; Debian's package chromium has it, and CI installs it")
def test_a_browser_renders_500_events_by_keyboard_without_error_or_request(tmp_path: Path) -> None:
    events = _conversation(100)
    assert len(events) >= 500
    file = tmp_path / "page.html"
    file.write_text(page("conv", events), encoding="utf-8")
    with _browser(tmp_path / "profile") as tab:
        for domain in ("Page", "Network", "Log", "Runtime"):
            tab.do(f"{domain}.enable")
        tab.do("Page.navigate", url=file.as_uri())
        until = time.monotonic() + 30
        while tab.value("document.readyState + document.querySelectorAll('.row').length") != f"complete{len(events)}":
            assert time.monotonic() < until
        tab.press("Tab")
        assert tab.value("document.activeElement.className") == "skip"
        tab.press("Tab")
        assert "openai:gpt → anthropic:claude" in tab.value("document.activeElement.textContent")
        while tab.value("document.activeElement.tagName") != "SUMMARY":
            tab.press("Tab")
        tab.press("Enter", "\r")
        assert tab.value("document.activeElement.parentElement.open") is True
        band = tab.value("JSON.stringify(document.querySelector('.switch details').getBoundingClientRect())")
        main = tab.value("document.querySelector('.log').getBoundingClientRect().width")
        assert json.loads(band)["width"] > 0.8 * main  # the switch crosses all lanes
        tab.do("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
        assert tab.value("document.documentElement.scrollWidth") <= 360  # a phone scrolls one way only
    errors = [row for row in tab.seen if row["method"] == "Runtime.exceptionThrown" or row["method"] == "Log.entryAdded"]
    asked = [row["params"]["request"]["url"] for row in tab.seen if row["method"] == "Network.requestWillBeSent"]
    assert errors == []
    assert [url for url in asked if not re.match(r"file:|data:", url)] == []
    assert file.as_uri() in asked
