"""The responses that the simulator keeps for the Responses API, and the items they hold."""

from __future__ import annotations

import threading
from collections.abc import Callable

from joch_core.messages import Json
from joch_core.testing.errors import Rejection
from joch_core.testing.responses import items
from joch_core.testing.tokens import is_item_id


class Stored:
    """Stored responses by id. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses: dict[str, tuple[Json, list[Json]]] = {}
        self._items: dict[str, Json] = {}

    def keep(self, asked: Json, done: Json) -> None:
        """Keep a response and what was asked, unless the request said `store: false`."""
        if asked.get("store") is False:
            return
        with self._lock:
            self._responses[done["id"]] = (done, items(asked))
            for item in done["output"]:
                self._items[item["id"]] = item

    def get(self, identifier: str) -> Json | None:
        """The response with this id."""
        with self._lock:
            found = self._responses.get(identifier)
        return found[0] if found else None

    def asked(self, identifier: str) -> list[Json]:
        """The input items of a response."""
        with self._lock:
            return list(self._responses[identifier][1])

    def drop(self, identifier: str) -> None:
        """Forget a response."""
        with self._lock:
            self._responses.pop(identifier, None)

    def joined(self, body: Json, refuse: Callable[[Rejection], Exception]) -> Json:
        """The body with the items of its `previous_response_id` and of its item references put before and in place.

        Raises whatever `refuse` makes of a rejection, where something that is named is not kept.
        """
        given = items(body)
        previous = body.get("previous_response_id")
        before: list[Json] = []
        if previous is not None:
            with self._lock:
                found = self._responses.get(previous)
            if found is None:
                message = f"Previous response with id '{previous}' not found."
                raise refuse(Rejection(message, "previous_response_id", "previous_response_not_found"))
            before = [*found[1], *found[0]["output"]]
        with self._lock:
            known = dict(self._items)
        out = []
        for item in given:
            identifier = str(item.get("id") or "") if isinstance(item, dict) else ""
            bare = isinstance(item, dict) and item.get("type") == "reasoning" and not item.get("encrypted_content")
            reference = isinstance(item, dict) and item.get("type") == "item_reference"
            if (
                (bare or reference)
                and identifier
                and identifier not in known
                and (reference or is_item_id(identifier, body["model"]))
            ):
                message = (
                    f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to false. Try again "
                    "with `store` set to true, or remove this item from your input."
                )
                raise refuse(Rejection(message, "input", kind="not_found", status=404))
            out.append(known[identifier] if reference else item)
        return body | {"input": [*before, *out]}
