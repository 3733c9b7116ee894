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
        self._reasoning_before: dict[str, str] = {}

    def keep(self, asked: Json, done: Json) -> None:
        """Keep a response and what was asked, unless the request said `store: false`."""
        if asked.get("store") is False:
            return
        with self._lock:
            self._responses[done["id"]] = (done, items(asked))
            before = None
            for item in done["output"]:
                self._items[item["id"]] = item
                if before is not None and before["type"] == "reasoning":
                    self._reasoning_before[item["id"]] = before["id"]
                before = item

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
        previous = body.get("previous_response_id")
        if previous is None and body.get("input") is None:
            return body
        given = items(body)
        before: list[Json] = []
        if previous is not None:
            with self._lock:
                found = self._responses.get(previous)
            if found is None:
                message = f"Previous response with id '{previous}' not found."
                raise refuse(Rejection(message, "previous_response_id", "previous_response_not_found"))
            before = [*found[1], *found[0]["output"]]
            if found[0]["model"] != body["model"]:
                before = [item for item in before if item.get("type") != "reasoning"]
        named = {str(item.get("id")) for item in given if isinstance(item, dict)}
        out = []
        for item in given:
            why = self._missing(item, body, named) if isinstance(item, dict) else None
            if why is not None:
                raise refuse(why)
            out.append(self._items[item["id"]] if isinstance(item, dict) and item.get("type") == "item_reference" else item)
        return body | {"input": [*before, *out]}

    def _missing(self, item: Json, body: Json, named: set[str]) -> Rejection | None:
        """Why an item cannot stand where it stands: it is not kept, or the reasoning that led to it is left out."""
        identifier, kind = str(item.get("id") or ""), str(item.get("type", "message"))
        bare = kind == "reasoning" and not item.get("encrypted_content") and is_item_id(identifier, body["model"])
        if identifier and identifier not in self._items and (kind == "item_reference" or bare):
            message = (
                f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to false. Try again "
                "with `store` set to true, or remove this item from your input."
            )
            return Rejection(message, "input", kind="not_found", status=404)
        needed = self._reasoning_before.get(identifier)
        if needed is not None and needed not in named and kind != "item_reference":
            message = f"Item '{identifier}' of type '{kind}' was provided without its required 'reasoning' item: '{needed}'."
            return Rejection(message, "input")
        return None
