"""Stores for the tests of the saver."""

from __future__ import annotations

from pathlib import Path

import pytest

from joch_core import open_store


@pytest.fixture
def make_store(tmp_path: Path):
    """Open the store of this test; each call is one more opening of the same file, as another process would do it."""
    stores = []

    def make(name: str = "graphs"):
        stores.append(open_store(f"sqlite:///{tmp_path / name}.db"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
