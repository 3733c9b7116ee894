"""A command line in a folder of its own: `joch("get", "models")` gives exit code, standard output and standard error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from joch_core.cli.main import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return yaml.safe_load(self.out)


JochCommand = Callable[..., Outcome]


@pytest.fixture
def joch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> JochCommand:
    for name in ("JOCH_STORE", "JOCH_RESOURCES", "JOCH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Outcome:
        code = run([str(argument) for argument in arguments])
        seen = capsys.readouterr()
        return Outcome(code, seen.out, seen.err)

    return command


@pytest.fixture
def route_file(tmp_path: Path) -> Path:
    file = tmp_path / "routes.yaml"
    file.write_text(
        """\
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata: {name: research-default}
spec:
  requirements: {toolCalling: true, contextWindowMin: 200000}
  strategy:
    primary: openai:gpt-5-thinking
    fallback: [anthropic:claude-sonnet, google:gemini-pro]
"""
    )
    return file
