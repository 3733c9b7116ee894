"""The pytest plugin of Joch: fixtures `joch_simulator` and `joch`. Nothing of Joch is loaded before a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from joch_core import Joch
    from joch_core.testing import Simulator


@pytest.fixture
def joch_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A running `Simulator` on a free port; base URLs and keys in the environment point to it for this test."""
    from joch_core.testing import Simulator

    with Simulator() as simulator:
        for name, value in simulator.env().items():
            monkeypatch.setenv(name, value)
        yield simulator


@pytest.fixture
def joch(joch_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Joch]:  # noqa: ARG001  its environment
    """A `Joch` with a store of its own in a temporary folder; its providers are the simulator."""
    from joch_core import Joch

    monkeypatch.setenv("JOCH_HOME", str(tmp_path / "joch"))
    for name in ("JOCH_STORE", "JOCH_RESOURCES", "JOCH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    with Joch(store=f"sqlite:///{tmp_path / 'joch.db'}") as joch:
        yield joch
