"""The steps of a graph beside the events of its conversation: a LangGraph thread of the same name in the same store.

They are no events: nobody recorded them, they are read from the checkpoints, so they have neither a sequence nor a hash. Only
the plug can read them; it is loaded when there is such a thread.
"""

from __future__ import annotations

import os
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from joch_core.cli.output import complain
from joch_core.errors import JochError, StoreError
from joch_core.messages import Json
from joch_core.resources.events import Event, conversation_log
from joch_core.stores.threads import Threads

if TYPE_CHECKING:
    from joch_core.app.joch import Joch

STEP = "GraphStep"
#: Where the key of encrypted threads is looked for.
KEY_VARIABLE = "JOCH_CHECKPOINT_KEY"
_PLUG = "langgraph.checkpoint.joch"


class GraphTimeline:
    """The steps of the graph thread that has a conversation's name."""

    def __init__(self, joch: Joch, name: str) -> None:
        self._joch = joch
        self._name = name
        self._threads = Threads(joch.store.database, joch.namespace)
        self._last: str | None = None
        self._silent = False

    @property
    def exists(self) -> bool:
        """Whether there is such a thread."""
        return self._newest() is not None

    def fresh(self, since: datetime | None = None) -> list[Event]:
        """The steps since the last time, oldest first, in the form of events. Says once on standard error if it cannot."""
        newest = self._newest()
        if self._silent or newest is None or newest == self._last:
            return []
        try:
            steps = self._steps()
        except ImportError:
            return self._give_up("the plug that reads them is not installed: pip install 'joch[langgraph]'")
        except (JochError, TypeError) as error:
            return self._give_up(str(error))
        self._last = newest
        found = (
            Event(conversation_log(self._name), 0, STEP, step.as_json(), step.at, framework="langgraph") for step in steps
        )
        return [event for event in found if since is None or event.at >= since]

    def _newest(self) -> str | None:
        rows = self._threads.page(thread=self._name, limit=1)
        return rows[0].snapshot.checkpoint if rows else None

    def _steps(self) -> Any:
        plug = import_module(_PLUG)
        options = {"namespace": self._joch.namespace}
        try:
            return plug.graph_steps(plug.JochSaver(self._joch.store, **options), self._name, after=self._last)
        except StoreError:
            if not os.environ.get(KEY_VARIABLE):
                raise
        saver = plug.JochSaver(self._joch.store, encrypt=f"env:{KEY_VARIABLE}", **options)
        return plug.graph_steps(saver, self._name, after=self._last)

    def _give_up(self, why: str) -> list[Event]:
        self._silent = True
        complain(f"the steps of the graph are not shown: {why}")
        return []


def as_json(event: Event) -> Json:
    """An event, or a step, which has neither a sequence nor a hash."""
    return event.as_json() | ({"sequence": None, "hash": None} if event.type == STEP else {})
