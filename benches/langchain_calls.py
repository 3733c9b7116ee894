"""What a LangChain call costs in CPU: `JochChatModel` beside `ChatOpenAI`, and a failover beside `with_fallbacks`.

    python -m venv /tmp/chatopenai && /tmp/chatopenai/bin/pip install langchain-openai
    python benches/langchain_calls.py --chatopenai /tmp/chatopenai/bin/python [--rounds 11] [--calls 24] [--json FILE]

Every contender is a process of its own and they take turns; `ChatOpenAI` runs in the Python of that other environment, since
it is no dependency of this project. The server is a third process on loopback that answers with prebuilt bytes. Figures are
CPU time of the contender's process (all its threads), medians over the rounds, quartiles beside them; the ratio is the median
of the ratios of each round. Both sides keep one connection. Each call gets messages that nobody has seen before ("fresh") or
the same objects again, as within one run of an agent ("again"). Joch writes its trace to a SQLite file, as it does by default.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from calls import MODEL, TOOLS, Answering, answers, conversation

DOWN = "gpt-4o"
WARM_UP_CALLS = 4
REFUSAL = json.dumps({"error": {"message": "overloaded", "type": "server_error", "code": None}}).encode()
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(REFUSAL),
    REFUSAL,
)


# ------------------------------------------------------------------------------------------------------- the server
class Failing(Answering):
    """As `Answering`; the model that is down answers 503 at once."""

    def data_received(self, data: bytes) -> None:
        kept, self.whole = self.whole, self.whole
        body = bytes(self.buffer) + data
        if f'"model":"{DOWN}"'.encode() in body or f'"model": "{DOWN}"'.encode() in body:
            self.whole = REFUSED
        super().data_received(data)
        self.whole = kept


def serve(chunks: int) -> None:
    async def run() -> None:
        whole, streamed = answers(chunks)
        server = await asyncio.get_running_loop().create_server(lambda: Failing(whole, streamed), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


# --------------------------------------------------------------------------------------------------- the contenders
def chatopenai(url: str, _folder: str, model: str = MODEL) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=model, base_url=url, api_key="k", max_retries=0, stream_usage=True)


def with_fallbacks(url: str, folder: str) -> Any:
    return chatopenai(url, folder, DOWN).with_fallbacks([chatopenai(url, folder)])


def joch(url: str, folder: str, *backends: str, circuit: bool = True) -> Any:
    os.environ |= {"JOCH_PROVIDER_OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k", "JOCH_HOME": folder}
    from langchain_joch import JochChatModel

    if circuit:
        return JochChatModel(route=list(backends) or [f"openai:{MODEL}"])
    file = Path(folder) / "route.yaml"
    file.write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: stubborn}\n"
        f"spec: {{strategy: {{primary: '{backends[0]}', fallback: ['{backends[1]}']}}, health: {{openAfterFailures: 1000000}}}}\n"
    )
    return JochChatModel(route=str(file))


def joch_failing(url: str, folder: str) -> Any:
    return joch(url, folder, f"openai:{DOWN}", f"openai:{MODEL}", circuit=False)


def joch_circuit(url: str, folder: str) -> Any:
    return joch(url, folder, f"openai:{DOWN}", f"openai:{MODEL}")


MODELS: dict[str, Callable[[str, str], Any]] = {
    "chatopenai": chatopenai,
    "joch": joch,
    "with_fallbacks": with_fallbacks,
    "joch failing over": joch_failing,
    "joch with its circuit open": joch_circuit,
}
#: Who is compared with whom.
BASES = {"joch": "chatopenai", "joch failing over": "with_fallbacks", "joch with its circuit open": "with_fallbacks"}
WAYS = ("invoke", "ainvoke", "stream", "astream")


def asker(model: Any, way: str) -> Callable[[list[Any]], None]:
    loop = asyncio.new_event_loop()

    async def read(messages: list[Any]) -> None:
        async for _chunk in model.astream(messages):
            pass

    def ask(messages: list[Any]) -> None:
        match way:
            case "invoke":
                model.invoke(messages)
            case "ainvoke":
                loop.run_until_complete(model.ainvoke(messages))
            case "stream":
                for _chunk in model.stream(messages):
                    pass
            case _:
                loop.run_until_complete(read(messages))

    return ask


def histories(count: int, *, fresh: bool) -> Iterator[list[Any]]:
    from langchain_core.messages import convert_to_messages

    same = convert_to_messages(conversation(count))
    while True:
        yield convert_to_messages(conversation(count)) if fresh else same


def contend(name: str, way: str, messages: int, age: str, url: str) -> None:
    """Obey lines of standard input: a number of calls; answer with the CPU seconds of each, on the average."""
    with tempfile.TemporaryDirectory() as folder:
        ask = asker(MODELS[name](url, folder).bind(tools=TOOLS), way)
        given = histories(messages, fresh=age == "fresh")
        for _ in range(WARM_UP_CALLS):
            ask(next(given))
        print("ready", flush=True)
        for line in sys.stdin:
            asked = [next(given) for _ in range(int(line))]
            begin = time.process_time()
            for one in asked:
                ask(one)
            print((time.process_time() - begin) / len(asked), flush=True)


class Process:
    """A contender that waits for its turn."""

    def __init__(self, python: str, *arguments: str) -> None:
        command = [python, __file__, *arguments]
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
Case = tuple[str, int, str]  # way, messages, age
CASES: tuple[Case, ...] = (
    ("invoke", 2, "fresh"), ("ainvoke", 2, "fresh"), ("invoke", 80, "fresh"), ("invoke", 80, "again"),
    ("ainvoke", 80, "fresh"), ("stream", 2, "fresh"), ("astream", 2, "fresh"),
)  # fmt: skip


def contenders(case: Case) -> list[str]:
    return [*MODELS] if case == CASES[0] else ["chatopenai", "joch"]


def import_ms(python: str, statement: str) -> float:
    """CPU of a Python that does this and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def imports(rounds: int, pythons: dict[str, str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    chat = "import langchain_core.language_models.chat_models"
    for _ in range(rounds):
        for name, statement in (
            ("joch", chat),
            ("joch", "import langchain_joch"),
            ("joch", "from langchain_joch import JochChatModel"),
            ("chatopenai", "from langchain_openai import ChatOpenAI"),
        ):
            found.setdefault(statement, []).append(import_ms(pythons[name], statement))
    return found


def line(label: str, values: list[float], unit: str, ratio: float | None) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    shown = "" if ratio is None else f"{ratio:>8.2f} x"
    return f"{label:<58}{middle:>9.1f} {unit:<3}{low:>9.1f} - {high:<9.1f}{shown}"


def compare(given: argparse.Namespace) -> None:
    pythons = {name: sys.executable if name.startswith("joch") else given.chatopenai for name in MODELS}
    server = Process(sys.executable, "--serve", str(given.chunks))
    url = f"http://127.0.0.1:{server.first}/v1"
    print(f"{'CPU of':<58}{'median':>9}    {'quartiles':>18}{'ratio':>13}", flush=True)
    kept: list[dict[str, Any]] = []
    for case in (one for one in CASES if given.only in " ".join(map(str, one))):
        way, messages, age = case
        arguments = (way, str(messages), age, url)
        running = {name: Process(pythons[name], "--contend", name, *arguments) for name in contenders(case)}
        found: dict[str, list[float]] = {name: [] for name in running}
        streamed = "stream" in way
        calls = max(1, given.calls // 6) if streamed else given.calls
        for _ in range(given.rounds):
            for name, process in running.items():
                found[name].append(process.turn(calls) * 1_000_000 / (given.chunks if streamed else 1))
        for name, values in found.items():
            running[name].stop()
            base = found.get(BASES.get(name, ""))
            ratio = None if base is None else statistics.median(map(float.__truediv__, values, base))
            what = "chunk" if streamed else "call"
            print(line(f"{name}: {way}, {messages} messages, {age}, per {what}", values, "us", ratio), flush=True)
            kept.append({"name": name, "way": way, "messages": messages, "age": age, "us": values, "ratio": ratio})
    server.stop()
    if not given.only:
        found = imports(max(3, given.rounds // 2), pythons)
        base_ms = statistics.median(next(iter(found.values())))
        for statement, values in found.items():
            print(line(statement, values, "ms", statistics.median(values) / base_ms))
        kept.append({"imports_ms": found})
    if given.json:
        given.json.write_text(json.dumps(kept, indent=1))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chatopenai", default=os.environ.get("CHATOPENAI_PYTHON"), help="a Python with langchain-openai")
    options.add_argument("--rounds", type=int, default=11)
    options.add_argument("--calls", type=int, default=24, help="calls of one turn")
    options.add_argument("--chunks", type=int, default=400, help="chunks of one stream")
    options.add_argument("--only", default="", help="a part of a case, as in 'invoke 80'")
    options.add_argument("--json", type=Path)
    options.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options.add_argument("--contend", nargs=5, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve is not None:
        serve(given.serve)
    elif given.contend is not None:
        name, way, messages, age, url = given.contend
        contend(name, way, int(messages), age, url)
    elif not given.chatopenai:
        options.error("--chatopenai: name the Python of an environment that has langchain-openai")
    else:
        compare(given)


if __name__ == "__main__":
    main()
