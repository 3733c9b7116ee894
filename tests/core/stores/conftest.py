"""The stores that the contract is tested on."""

import pytest

from joch_core.stores import open_store


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/joch.db" if request.param == "file" else "sqlite:///:memory:")
    yield opened
    opened.close()
