"""A log that is written by hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from joch_core.messages import message_to_json
from joch_core.migration.history import History
from joch_core.resources.events import Event, canonical_json


class Log:
    """Events of one conversation, and what they add up to."""

    def __init__(self) -> None:
        self.history = History("conv-99")
        self.events: list[Event] = []

    def add(self, type_, **payload):
        number = len(self.events) + 1
        before = self.events[-1].hash if self.events else ""
        digest = hashlib.sha256((before + type_ + canonical_json(payload)).encode("utf-8", "surrogatepass")).hexdigest()
        event = Event("conversation/conv-99", number, type_, payload, datetime(2026, 5, 10, tzinfo=UTC), digest)
        self.events.append(event)
        self.history.apply(event)
        return self

    def say(self, *messages):
        for message in messages:
            self.add("MessageAdded", message=message_to_json(message))
        return self

    def act(self, key, tool, phase="Succeeded", effect="external_write", **args):
        self.add("ToolCallRequested", key=key, callId=key, tool=tool, args=args, effect=effect)
        if phase != "Running":
            self.add("ToolCallCompleted", key=key, callId=key, tool=tool, effect=effect, phase=phase, output="ok")
        return self


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def new_log():
    return Log
