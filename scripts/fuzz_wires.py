"""Mutated answers through the readers of all four wires: `python scripts/fuzz_wires.py --count 1000000 --seed 1`.

The seeds are what the Simulator answers, and recorded traffic where JOCH_CORPUS (or ../shared) holds some. A mutation
changes, removes, repeats or cuts a value of a body, a chunk of a stream, or bytes of it. Only typed errors may come out,
and what was read may not be much larger than what was sent. Exit code 0: so it was; 1: it was not, every way is printed.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pickle
import random
import resource
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from joch_core.capabilities import Api, Dialect, Target
from joch_core.errors import InvalidArgument, ProviderError
from joch_core.providers.event_stream import FrameDecoder
from joch_core.providers.sse import EventDecoder
from joch_core.testing import Simulator
from joch_core.wire import wire

APIS: tuple[Api, ...] = ("openai-chat", "openai-responses", "anthropic-messages", "gemini-generate")
_TOOL = {"type": "object", "properties": {"city": {"type": "string"}}}
#: What is put in the place of a value: every JSON type, and texts that look like structure.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, "", "x", "\ud800", "{", '{"a":', "[1", [], {}, [[]], [None], ["a"], [{}],
    {"a": 1}, {"type": None}, {"type": []}, {"type": "of tomorrow"}, "stop", "tool_use", "a" * 5_000,
)  # fmt: skip
#: A reply may hold its text and its native form, in objects; more than this per byte sent would be a leak.
_SIZE_FACTOR = 64

Event = tuple[str | None, str]


def target(api: Api) -> Target:
    """A model that can do everything, spoken to in this format."""
    dialect = Dialect(reasoning_content=True)
    return Target("any:m", "any", api, "m", "here", frozenset({"reasoning", "toolCalling"}), dialect=dialect)


def requests(api: Api, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """Path and body that ask the Simulator for one answer with text and tool calls."""
    match api:
        case "openai-chat":
            tool = {"type": "function", "function": {"name": "look", "parameters": _TOOL}}
            asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [tool], "stream": stream}
            return "/v1/chat/completions", asked
        case "openai-responses":
            tool = {"type": "function", "name": "look", "parameters": _TOOL}
            return "/v1/responses", {"model": "m", "input": "hi", "tools": [tool], "stream": stream}
        case "anthropic-messages":
            tool = {"name": "look", "input_schema": _TOOL}
            asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [tool], "stream": stream}
            return "/v1/messages", {**asked, "max_tokens": 2_000}
        case _:
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            tool = {"functionDeclarations": [{"name": "look", "parameters": _TOOL}]}
            return f"/v1beta/models/m:{verb}", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "tools": [tool]}


def simulated(api: Api, *, stream: bool) -> Iterator[bytes]:
    """What the Simulator answers: text, reasoning with tool calls, a refusal, an error."""
    call = {"name": "look", "args": {"city": "Köln", "deep": [[{"a": 1}]]}}
    turns: list[Any] = [
        "Hello, here is a text.",
        {"reasoning": "So.", "tool_calls": [call, call]},
        {"text": "cut", "finish": "length"},
    ]
    with Simulator(script={"turns": turns}) as sim:
        key = {"authorization": "Bearer k", "x-api-key": "k", "x-goog-api-key": "k", "anthropic-version": "2023-06-01"}
        root = sim.base_url("anthropic")
        for _ in turns:
            path, body = requests(api, stream=stream)
            sent = urllib.request.Request(  # noqa: S310 - loopback
                root + path, json.dumps(body).encode(), {"content-type": "application/json", **key}
            )
            with urllib.request.urlopen(sent, timeout=30) as answer:  # noqa: S310 - loopback
                yield answer.read()


def recorded(api: Api, *, stream: bool, limit_bytes: int) -> Iterator[bytes]:
    """Recorded answers of this format, as far as they are here."""
    folder = Path(os.environ.get("JOCH_CORPUS") or Path(__file__).resolve().parents[2] / "shared") / "cassettes"
    index = folder / "expected.jsonl"
    if not index.is_file():
        return
    opened: dict[str, Any] = {}
    for line in index.read_text().splitlines():
        fact = json.loads(line)
        name = {"generic-openai": "openai-chat", "generic-openai-responses": "openai-responses"}.get(
            fact["api"], fact["api"]
        )
        if name != api or bool(fact["stream"]) is not stream:
            continue
        if fact["file"] not in opened:
            opened = {fact["file"]: yaml.load((folder / fact["file"]).read_text(), Loader=yaml.CSafeLoader)["interactions"]}
        body = opened[fact["file"]][fact["interaction"]]["response"]["body"]
        text = body.get("string", b"") if isinstance(body, dict) else body
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if 0 < len(data) <= limit_bytes:
            yield data


class Fuzzer:
    """Feeds mutations and keeps count: `fed` chunks and bodies, `failures` by the place they came from."""

    def __init__(self, seed: int, seeds: dict[tuple[Api, bool], list[bytes]]) -> None:
        self._random = random.Random(seed)
        self.fed = 0
        self.typed = 0
        self.failures: collections.Counter[str] = collections.Counter()
        self._bodies: list[tuple[Api, bytes, list[tuple[Any, ...]]]] = []
        self._streams: list[tuple[Api, bytes, list[Event]]] = []
        for (api, stream), answers in seeds.items():
            for answer in answers:
                if stream:
                    self._streams.append((api, answer, _events(answer)))
                elif (read := _json(answer)) is not None:
                    self._bodies.append((api, pickle.dumps(read), list(_places(read))))

    def run(self, count: int) -> None:
        """Feed until `count` chunks and bodies have been fed."""
        while self.fed < count:
            turn = self._random.random()
            if turn < 0.5:
                self._body()
            elif turn < 0.9:
                self._stream()
            else:
                self._bytes()

    def _body(self) -> None:
        api, packed, places = self._random.choice(self._bodies)
        body = self._mutated(pickle.loads(packed), places)  # noqa: S301 - packed above
        self.fed += 1
        spoken, place = wire(api), target(api)
        if isinstance(body, dict):
            reply = self._guard(f"{api} parse", lambda: spoken.parse(body, place, "s"))
            if reply is not None:
                self._guard(f"{api} reply", lambda: _use(reply))
            self._guard(f"{api} read_request", lambda: spoken.read_request(body, "here"))
        self._guard(f"{api} read_error", lambda: spoken.read_error(self._random.choice((0, 200, 400, 429, 500)), body))

    def _stream(self) -> None:
        api, _, events = self._random.choice(self._streams)
        rate = self._random.choice((0.02, 0.1, 0.5))
        told: list[Event] = []
        for name, data in events:
            if self._random.random() >= rate:
                told.append((name, data))
                continue
            told += self._chunk(name, data)
        self._read(api, told)

    def _chunk(self, name: str | None, data: str) -> list[Event]:
        """What stands in the place of one chunk: nothing, twice, half, or another one."""
        match self._random.randrange(8):
            case 0:
                return []
            case 1:
                return [(name, data)] * 2
            case 2:
                return [(name, data[: self._random.randrange(len(data) + 1)])]
            case 3:
                return [(self._random.choice((None, "error", "ping", "of tomorrow")), data)]
        try:
            read = json.loads(data)
        except ValueError:
            return [(name, data + "{")]
        return [(name, json.dumps(self._mutated(read, list(_places(read)))))]

    def _bytes(self) -> None:
        """Bytes of a stream are turned, and the decoders before the reader see them in pieces."""
        api, answer, _ = self._random.choice(self._streams)
        broken = bytearray(answer)
        for _ in range(self._random.randrange(1, 9)):
            broken[self._random.randrange(len(broken))] = self._random.randrange(256)
        decoder = EventDecoder()
        step = self._random.randrange(1, 900)

        def decoded() -> list[Event]:
            cut = [bytes(broken[at : at + step]) for at in range(0, len(broken), step)]
            return [event for piece in cut for event in decoder.feed(piece)] + decoder.end()

        self._guard("sse", lambda: FrameDecoder().feed(bytes(broken[:400])))
        self._read(api, self._guard("sse", decoded) or [])

    def _read(self, api: Api, events: list[Event]) -> None:
        reader = wire(api).reader(target(api), "s")

        def fed() -> Any:
            for name, data in events:
                self.fed += 1
                reader.feed(name, data)
            return reader.reply()

        whole = self._guard(f"{api} stream", fed)
        if whole is not None:
            self._guard(f"{api} stream reply", lambda: _use(whole))
        self._guard(f"{api} partial", lambda: _use(reader.partial()))
        sent = sum(len(data) for _, data in events)
        held = len(pickle.dumps(self._guard(f"{api} partial", reader.partial)))
        if held > 4_096 + _SIZE_FACTOR * sent:
            self.failures[f"{api} stream: {held} bytes are held of {sent}"] += 1

    def _mutated(self, value: Any, places: list[tuple[Any, ...]]) -> Any:
        """`value` (changed in place) with one to three of its places changed."""
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            path = self._random.choice(places)
            if not path:
                if self._random.random() < 0.02:
                    return self._random.choice(_ODD)
                continue
            holder = value
            try:
                for key in path[:-1]:
                    holder = holder[key]
                if self._random.random() < 0.3:
                    del holder[path[-1]]
                elif self._random.random() < 0.1:
                    holder[path[-1]] = [holder[path[-1]], holder[path[-1]]]
                else:
                    # A copy: a later change of this body must not change the table.
                    holder[path[-1]] = pickle.loads(pickle.dumps(self._random.choice(_ODD)))  # noqa: S301
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change has taken this place away
        return value

    def _guard(self, where: str, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except (ProviderError, InvalidArgument):
            self.typed += 1
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.failures[f"{where}: {Path(last.filename).name}:{last.lineno} {error!r:.120}"] += 1
        return None


def _use(reply: Any) -> None:
    """Look at all of a reply, as an application would."""
    _ = reply.text, reply.reasoning, hash(reply.finish), repr(reply.usage)
    for call in reply.tool_calls:
        _ = call.name + call.id, dict(call.args)


def _events(answer: bytes) -> list[Event]:
    decoder = EventDecoder()
    return decoder.feed(answer) + decoder.end()


def _json(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return None


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*path, key))


def collect(*, corpus_bytes: int) -> dict[tuple[Api, bool], list[bytes]]:
    """The answers to start from; recorded ones of up to `corpus_bytes` bytes, none at 0."""
    kinds = [(api, stream) for api in APIS for stream in (False, True)]
    return {
        (api, stream): [*simulated(api, stream=stream), *recorded(api, stream=stream, limit_bytes=corpus_bytes)]
        for api, stream in kinds
    }


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="mutated chunks and bodies to feed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus-bytes", type=int, default=20_000, help="take recorded answers up to this size; 0: none")
    given = parser.parse_args()
    seeds = collect(corpus_bytes=given.corpus_bytes)
    fuzzer = Fuzzer(given.seed, seeds)
    fuzzer.run(min(given.count, 20_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    fuzzer.run(given.count)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"seeds: {sum(map(len, seeds.values()))}; fed: {fuzzer.fed}; typed errors: {fuzzer.typed}; "
          f"memory grew by {grown:.1f} MiB; {time.process_time() - begun:.0f} s of CPU")  # fmt: skip
    for failure, times in fuzzer.failures.most_common():
        print(f"{times:>8}  {failure}")
    return 1 if fuzzer.failures else 0


if __name__ == "__main__":
    sys.exit(main())
