"""A small part of `scripts/fuzz_wires.py`, with seeds of the Simulator alone; and that the fuzzer would see a failure."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from joch_core.errors import ProviderError
from joch_core.wire import wire

_SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "fuzz_wires.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_wires", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def seeds(fuzz):
    return fuzz.collect(corpus_bytes=0)


def test_mutated_answers_bring_typed_errors_only(fuzz, seeds):
    fuzzer = fuzz.Fuzzer(20, seeds)
    fuzzer.run(10_000)
    assert fuzzer.failures == {}
    assert fuzzer.typed > 100


def test_a_reader_that_breaks_is_found(fuzz, seeds, monkeypatch):
    class Broken:
        def feed(self, event, data):
            return json.loads(data)["of tomorrow"]

        def partial(self):
            return None

    monkeypatch.setattr(wire("openai-chat"), "reader", lambda target, seed: Broken())
    fuzzer = fuzz.Fuzzer(20, seeds)
    fuzzer.run(500)
    assert any("KeyError" in failure for failure in fuzzer.failures)


@pytest.mark.parametrize("api", ["openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"])
def test_nesting_without_end_is_a_typed_error(fuzz, api):
    reader = wire(api).reader(fuzz.target(api), "s")
    with pytest.raises(ProviderError):
        reader.feed(None, '{"a":' * 100_000)
