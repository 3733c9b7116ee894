"""What the tests of the LangChain plug share: a provider double that the environment points to, and a store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from joch_core import Joch
from joch_core.testing import Simulator


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A running simulator; keys, base URLs and the default store of this test point to it and to a temporary folder."""
    with Simulator() as double:
        for name, value in double.env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("JOCH_HOME", str(tmp_path))
        for name in ("JOCH_STORE", "JOCH_RESOURCES", "JOCH_NAMESPACE"):
            monkeypatch.delenv(name, raising=False)
        yield double


@pytest.fixture
def joch(simulator: Simulator) -> Iterator[Joch]:
    """A Joch on the default store of this test."""
    with Joch() as joch:
        yield joch
