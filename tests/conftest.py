"""What several test folders share: the recorded provider traffic."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Exchange:
    """One recorded request and answer. `expected` holds the neutral facts of the answer; bodies are text."""

    file: str
    interaction: int
    api: str
    uri: str
    status: int
    headers: dict[str, str]
    request: str
    response: str
    expected: dict[str, Any]

    @property
    def stream(self) -> bool:
        return bool(self.expected["stream"])

    def events(self) -> Iterator[tuple[str | None, str]]:
        """The server-sent events of a streamed answer: name and data."""
        name: str | None = None
        data: list[str] = []
        for line in [*self.response.replace("\r\n", "\n").split("\n"), ""]:  # splitlines() would cut at U+2028, too
            if not line:
                if data:
                    yield name, "\n".join(data)
                name, data = None, []
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))


@dataclass(frozen=True)
class History:
    """One recorded request body, and what is known of it."""

    file: str
    api: str
    body: dict[str, Any]
    index: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return bool(self.index["accepted"])


class Corpus:
    """The recordings below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _expected(self) -> dict[str, list[dict[str, Any]]]:
        rows: dict[str, list[dict[str, Any]]] = {}
        with (self.folder / "cassettes" / "expected.jsonl").open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                rows.setdefault(row["file"], []).append(row)
        return rows

    def exchanges(self, *apis: str) -> Iterator[Exchange]:
        """Every exchange of these APIs (the names of `expected.jsonl`), in the order of the files."""
        for file, rows in self._expected.items():
            if not any(row["api"] in apis for row in rows):
                continue
            with (self.folder / "cassettes" / file).open("rb") as stream:
                recorded = yaml.load(stream, Loader=yaml.CSafeLoader)["interactions"]
            for row in rows:
                if row["api"] in apis:
                    yield _exchange(file, row, recorded[row["interaction"]])

    def histories(self, *apis: str) -> Iterator[History]:
        """Every history of these APIs, accepted or rejected."""
        with (self.folder / "histories" / "index.jsonl").open(encoding="utf-8") as lines:
            for index in map(json.loads, lines):
                if index["api"] in apis:
                    text = (self.folder / "histories" / index["file"]).read_text(encoding="utf-8")
                    yield History(index["file"], index["api"], json.loads(text), index)


def _exchange(file: str, row: dict[str, Any], recorded: dict[str, Any]) -> Exchange:
    answer = recorded["response"]
    headers = {name.lower(): _first(value) for name, value in (answer.get("headers") or {}).items()}
    return Exchange(
        file,
        row["interaction"],
        row["api"],
        recorded["request"]["uri"],
        row["status"],
        headers,
        _text(recorded["request"].get("body"), ""),
        _text(answer.get("body"), headers.get("content-encoding", "")),
        row,
    )


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, list) and value else value)


def _text(body: Any, encoding: str) -> str:
    raw = body.get("string") if isinstance(body, dict) else body
    if isinstance(raw, bytes):
        if encoding == "gzip" and raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        elif encoding == "deflate":
            raw = zlib.decompress(raw)
        return raw.decode("utf-8", "replace")
    return raw or ""


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """The recorded traffic that `JOCH_CORPUS` names, else the one beside the repository."""
    folder = Path(os.environ.get("JOCH_CORPUS") or _ROOT.parent / "shared")
    if not (folder / "cassettes" / "expected.jsonl").is_file():
        pytest.skip(f"no recordings at {folder}: set JOCH_CORPUS to the folder that holds cassettes/ and histories/")
    return Corpus(folder)
