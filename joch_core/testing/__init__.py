"""What Joch ships for testing agents: a local double of the providers, strict request checks, and a pytest plugin.

Names are looked up on first use: pytest loads the plugin, and with it this package, in every run of every test suite.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joch_core.testing.faults import Fault
    from joch_core.testing.journal import Call, Journal
    from joch_core.testing.script import Script, Turn, Wanted, read_script
    from joch_core.testing.simulator import KEY, Simulator
    from joch_core.testing.strict import check_request

_ROOMS = {
    "Fault": "faults", "Call": "journal", "Journal": "journal", "Script": "script", "Turn": "script", "Wanted": "script",
    "read_script": "script", "KEY": "simulator", "Simulator": "simulator", "check_request": "strict",
}  # fmt: skip

__all__ = ["KEY", "Call", "Fault", "Journal", "Script", "Simulator", "Turn", "Wanted", "check_request", "read_script"]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'joch_core.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"joch_core.testing.{_ROOMS[name]}"), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
