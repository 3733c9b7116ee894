"""What Joch ships for testing agents: a local double of the providers, strict request checks, and a pytest plugin."""

from joch_core.testing.faults import Fault
from joch_core.testing.journal import Call, Journal
from joch_core.testing.script import Script, Turn, Wanted, read_script
from joch_core.testing.simulator import KEY, Simulator
from joch_core.testing.strict import check_request

__all__ = ["KEY", "Call", "Fault", "Journal", "Script", "Simulator", "Turn", "Wanted", "check_request", "read_script"]
