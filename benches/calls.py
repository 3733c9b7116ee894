"""What a call costs in CPU on this side of the wire: OpenAI's SDK alone, and the same SDK under Joch.

    python benches/calls.py [--rounds 15] [--calls 40] [--chunks 400] [--messages 2 80] [--json FILE]

Every contender is a process of its own and they take turns, so that a busy machine is busy for all. The server is a third
process on loopback that knows no HTTP beyond framing and answers with prebuilt bytes. Figures are CPU time of the contender's
process (all its threads), medians over the rounds; the spread is from the first to the third quartile. Joch writes to a
SQLite file, as it does by default. Both sides keep one connection and build their messages beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODEL = "gpt-4o-mini"
WARM_UP_CALLS = 5


# ------------------------------------------------------------------------------------------------------- the server
def answers(chunks: int) -> tuple[bytes, bytes]:
    """A whole answer and a streamed one, with their heads."""
    usage = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}
    base = {"id": "chatcmpl-1", "created": 1, "model": MODEL}
    message = {"role": "assistant", "content": "The answer is forty-two. " * 8}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = json.dumps({**base, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        data = json.dumps({**base, "object": "chat.completion.chunk", "choices": choices}).encode()
        return b"data: " + data + b"\n\n"

    last = json.dumps({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}).encode()
    events = [
        event({"role": "assistant", "content": ""}),
        *(event({"content": f"word{index} "}) for index in range(chunks)),
        event({}, "stop"),
        b"data: " + last + b"\n\n",
        b"data: [DONE]\n\n",
    ]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return whole, head + framed + b"0\r\n\r\n"


class Answering(asyncio.Protocol):
    """Reads one request after the other and writes the prebuilt answer."""

    def __init__(self, whole: bytes, streamed: bytes) -> None:
        self.whole, self.streamed = whole, streamed
        self.buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.index(b"content-length:") + 15
            total = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self.buffer) < total:
                return
            body = bytes(self.buffer[end + 4 : total])
            del self.buffer[:total]
            streamed = b'"stream":true' in body or b'"stream": true' in body
            self.transport.write(self.streamed if streamed else self.whole)


def serve(chunks: int) -> None:
    async def run() -> None:
        whole, streamed = answers(chunks)
        server = await asyncio.get_running_loop().create_server(lambda: Answering(whole, streamed), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


# --------------------------------------------------------------------------------------------------- the contenders
def conversation(count: int) -> list[dict[str, Any]]:
    """An agent's history in OpenAI's form: the user asks, a tool is called and answers, the model sums up."""
    out: list[dict[str, Any]] = [{"role": "system", "content": "You are a careful research assistant. " * 6}]
    while len(out) + 4 < count:
        turn = len(out)
        call = {"name": "lookup", "arguments": json.dumps({"query": f"figures of year {turn}", "limit": 10})}
        calls = [{"id": f"call_{turn}", "type": "function", "function": call}]
        out += [
            {"role": "user", "content": f"And what about question {turn}? " * 6},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": json.dumps({"rows": list(range(40))})},
            {"role": "assistant", "content": f"In short, the figures of turn {turn} are as expected. " * 6},
        ]
    while len(out) + 2 < count:
        out += [{"role": "user", "content": "Are you sure?"}, {"role": "assistant", "content": "Yes."}]
    return [*out, {"role": "user", "content": "Sum it up, please."}]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"lookup{number or ''}",
            "description": "Looks figures up in the archive.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
                "required": ["query"],
            },
        },
    }
    for number in range(3)
]


def openai_call(body: dict[str, Any], url: str, _: str) -> Callable[[], Any]:
    import openai

    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)
    return lambda: client.chat.completions.create(**body)


def openai_acall(body: dict[str, Any], url: str, _: str) -> Callable[[], Any]:
    import openai

    loop, client = asyncio.new_event_loop(), openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0)
    return lambda: loop.run_until_complete(client.chat.completions.create(**body))


def openai_stream(body: dict[str, Any], url: str, _: str) -> Callable[[], Any]:
    import openai

    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)

    def run() -> None:
        for _chunk in client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}):
            pass

    return run


def openai_astream(body: dict[str, Any], url: str, _: str) -> Callable[[], Any]:
    import openai

    loop, client = asyncio.new_event_loop(), openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0)

    async def run() -> None:
        options: Any = {"include_usage": True}
        async for _chunk in await client.chat.completions.create(**body, stream=True, stream_options=options):
            pass

    return lambda: loop.run_until_complete(run())


def _joch(body: dict[str, Any], url: str, folder: str) -> tuple[Any, Any]:
    os.environ["JOCH_PROVIDER_OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = url, "k"
    os.environ["JOCH_HOME"] = folder
    from joch_core import Joch, read_request

    return Joch(store=f"sqlite:///{folder}/joch.db"), read_request("openai-chat", body)


def joch_call(body: dict[str, Any], url: str, folder: str) -> Callable[[], Any]:
    joch, request = _joch(body, url, folder)
    return lambda: joch.call(f"openai:{MODEL}", request.messages, tools=request.tools)


def joch_acall(body: dict[str, Any], url: str, folder: str) -> Callable[[], Any]:
    joch, request = _joch(body, url, folder)
    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(joch.acall(f"openai:{MODEL}", request.messages, tools=request.tools))


def joch_stream(body: dict[str, Any], url: str, folder: str) -> Callable[[], Any]:
    joch, request = _joch(body, url, folder)

    def run() -> None:
        for _delta in joch.stream(f"openai:{MODEL}", request.messages, tools=request.tools):
            pass

    return run


def joch_astream(body: dict[str, Any], url: str, folder: str) -> Callable[[], Any]:
    joch, request = _joch(body, url, folder)
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async for _delta in joch.astream(f"openai:{MODEL}", request.messages, tools=request.tools):
            pass

    return lambda: loop.run_until_complete(run())


CONTENDERS: dict[str, Callable[[dict[str, Any], str, str], Callable[[], Any]]] = {
    "openai call": openai_call,
    "joch call": joch_call,
    "openai acall": openai_acall,
    "joch acall": joch_acall,
    "openai stream": openai_stream,
    "joch stream": joch_stream,
    "openai astream": openai_astream,
    "joch astream": joch_astream,
}


def contend(name: str, messages: int, url: str) -> None:
    """Obey lines of standard input: a number of calls; answer with the CPU seconds of each, on the average."""
    body = {"model": MODEL, "messages": conversation(messages), "tools": TOOLS}
    with tempfile.TemporaryDirectory() as folder:
        run = CONTENDERS[name](body, url, folder)
        for _ in range(WARM_UP_CALLS):
            run()
        print("ready", flush=True)
        for line in sys.stdin:
            calls = int(line)
            begin = time.process_time()
            for _ in range(calls):
                run()
            print((time.process_time() - begin) / calls, flush=True)


class Process:
    """A contender that waits for its turn."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline().strip()
        assert self.first, f"{arguments} did not start"

    def turn(self, calls: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(calls, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


# ------------------------------------------------------------------------------------------------------ the figures
def import_seconds(statement: str) -> float:
    """CPU of a Python that does this and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports(rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for statement in ("pass", "import openai", "import joch_core", "from joch_core import Joch, Message"):
            found.setdefault(statement, []).append(import_seconds(statement) * 1000)
    return found


def row(label: str, values: list[float], base: float | None, unit: str) -> str:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    ratio = "" if base is None else f"{middle / base:>8.2f} x"
    return f"{label:<38}{middle:>10.1f} {unit:<4}{low:>10.1f} - {high:<10.1f}{ratio}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--calls", type=int, default=40, help="calls of one turn")
    options.add_argument("--chunks", type=int, default=400, help="chunks of one stream")
    options.add_argument("--messages", type=int, nargs="+", default=[2, 80])
    options.add_argument("--only", default="", help="a part of the contenders' names")
    options.add_argument("--json", type=Path)
    options.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options.add_argument("--contend", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve is not None:
        serve(given.serve)
    elif given.contend is not None:
        contend(given.contend[0], int(given.contend[1]), given.contend[2])
    else:
        compare(given)


def compare(given: argparse.Namespace) -> None:
    names = [name for name in CONTENDERS if given.only in name]
    server = Process("--serve", str(given.chunks))
    url = f"http://127.0.0.1:{server.first}/v1"
    found: dict[tuple[int, str], list[float]] = {}
    for messages in given.messages:
        fitting = [name for name in names if messages == given.messages[0] or "stream" not in name]
        running = {name: Process("--contend", name, str(messages), url) for name in fitting}
        for _ in range(given.rounds):
            for name, process in running.items():
                calls = max(1, given.calls // 8) if "stream" in name else given.calls
                spent = process.turn(calls) * 1_000_000
                found.setdefault((messages, name), []).append(spent / given.chunks if "stream" in name else spent)
        for process in running.values():
            process.stop()
    server.stop()
    imported = imports(max(3, given.rounds // 3))
    print(f"{'CPU of':<38}{'median':>10}     {'quartiles':>16}{'ratio':>18}")
    for (messages, name), values in found.items():
        base = found.get((messages, name.replace("joch", "openai")))
        what = "chunk" if "stream" in name else "call"
        label = f"{name}, {messages} messages, per {what}"
        print(row(label, values, None if base is None else statistics.median(base), "us"))
    for statement, values in imported.items():
        print(row(statement, values, statistics.median(imported["import openai"]), "ms"))
    if given.json:
        rows = [{"messages": messages, "name": name, "us": values} for (messages, name), values in found.items()]
        given.json.write_text(json.dumps({"calls": rows, "imports_ms": imported}, indent=1))


if __name__ == "__main__":
    main()
