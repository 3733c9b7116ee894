"""`Simulator`: the local double of the providers, as a value in a test or behind `joch simulate`.

::

    with Simulator() as sim:
        sim.script(["Hello."], provider="openai")
        sim.fail("anthropic", status=529, times=2)
        …                                         # sim.base_url("openai"), sim.env()
        assert len(sim.calls("anthropic")) == 2

It is driven from any thread, or from another process over HTTP: `GET /_joch/journal`, `DELETE /_joch/journal`,
`POST /_joch/script` (a script file as JSON), `POST /_joch/fault`, `POST /_joch/recover` (`{"provider": …, "model": …}`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from joch_core.errors import InvalidArgument, JochError
from joch_core.testing.desk import PROVIDERS, Answer, Desk, Request
from joch_core.testing.faults import fault
from joch_core.testing.journal import Call, Journal
from joch_core.testing.script import Script, TurnLike, read_script
from joch_core.testing.server import LOOPBACK, Server

#: A key that opens nothing; the simulator wants one, as the real providers do.
KEY = "joch-simulator-key"
_MAIN = "*"
_KNOWN = tuple(dict.fromkeys(PROVIDERS.values()))
#: What a base URL ends with: OpenAI's SDK has the version in it, the others add it themselves.
_ENDS = {"anthropic": "", "google": ""}


class Simulator:
    """A local provider double on loopback with all four wire formats. A context manager.

    `port` 0 takes a free one. `script` is what `read_script` takes. `windows` are input tokens per model name.
    `tokens="any"` takes signatures and encrypted reasoning of others too, for histories that were recorded elsewhere.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = LOOPBACK,
        script: str | Path | Mapping[str, Any] | Sequence[TurnLike] | None = None,
        windows: Mapping[str, int] | None = None,
        tokens: Literal["issued", "any"] = "issued",
    ) -> None:
        if host != LOOPBACK:
            raise InvalidArgument(f"the simulator listens on {LOOPBACK} only, not on {host}")
        self._desk = Desk(windows, tokens)
        self._server: Server | None = None
        self._port = port
        self._own_ports: dict[str, int] = {}
        if script is not None:
            self.load(script)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the port is taken.
        """
        self._server = Server(self._handle)
        self._server.start()
        try:
            self._port = self._server.listen(_MAIN, self._port)
        except OSError:
            self._server.stop()
            raise

    def stop(self) -> None:
        """Close every connection and end the thread. The journal stays readable."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{LOOPBACK}:{self._port}"

    def base_url(self, provider: str = "openai") -> str:
        """What the SDK of this provider takes as its base URL; an unknown name speaks OpenAI's formats."""
        root = f"http://{LOOPBACK}:{self._own_ports.get(provider, self._port)}"
        return (root if provider in _KNOWN else f"{root}/p/{provider}") + _ENDS.get(provider, "/v1")

    def env(self, *providers: str) -> dict[str, str]:
        """Environment variables that point Joch (and the providers' keys) here: `openai`, `anthropic`, `google`, and more."""
        out = {}
        for provider in (*_KNOWN, *providers):
            name = provider.upper().replace("-", "_")
            out[f"JOCH_PROVIDER_{name}_BASE_URL"] = self.base_url(provider)
            out[f"{name}_API_KEY"] = KEY
        return out

    @property
    def journal(self) -> Journal:
        """Every request so far."""
        return self._desk.journal

    def calls(self, provider: str | None = None, model: str | None = None) -> list[Call]:
        """The requests to one provider (or api), oldest first."""
        return self._desk.journal.calls(provider, model)

    def clear(self) -> None:
        """Forget the journal."""
        self._desk.journal.clear()

    def script(
        self,
        turns: Iterable[TurnLike],
        *,
        provider: str | None = None,
        model: str | None = None,
        repeat_last: bool = False,
    ) -> None:
        """Say what shall be answered next; a later script goes before an earlier one."""
        self._desk.scripts.add(Script.of(turns, provider=provider, model=model, repeat_last=repeat_last))

    def load(self, source: str | Path | Mapping[str, Any] | Sequence[TurnLike]) -> None:
        """Take a whole script file: scripts, faults, windows."""
        told = read_script(source)
        for script in reversed(told.scripts):
            self._desk.scripts.add(script)
        for order in told.faults:
            given = dict(order)
            self.fail(given.pop("provider", None), given.pop("model", None), **given)
        self._desk.windows.update(told.windows)

    def fail(self, provider: str | None = None, model: str | None = None, **order: object) -> None:
        """Order a fault for a provider (or api, or all) and model: the fields of `Fault`.

        `fail("openai", status=503, times=2)`, `fail("anthropic", kind="overloaded")`, `fail(stream="disconnect", after=2)`,
        `fail("google", status=500, from_turn=2, to_turn=4)`, `fail("openai", delay=0.2)`.
        """
        self._desk.faults.order(provider, model, fault(**order))

    def recover(self, provider: str | None = None, model: str | None = None) -> None:
        """Forget the faults of a provider (and model), and open its own port again; without arguments: all."""
        self._desk.faults.recover(provider, model)
        if self._server is not None:
            for name in (provider,) if provider else tuple(self._own_ports):
                if name in self._own_ports:
                    self._server.listen(name)

    def own_port(self, provider: str) -> str:
        """Give a provider a port of its own, which `refuse` can close; its base URL from now on."""
        if self._server is None:
            raise InvalidArgument("the simulator is not running: use it in a with statement or call start()")
        self._own_ports[provider] = self._server.listen(provider)
        return self.base_url(provider)

    def refuse(self, provider: str) -> None:
        """Close the provider's own port: connections to it are refused until `recover`. Call `own_port` first.

        Raises:
            InvalidArgument: the provider has no port of its own.
        """
        if provider not in self._own_ports or self._server is None:
            raise InvalidArgument(f"{provider} has no port of its own: call own_port({provider!r}) before it is asked")
        self._server.close(provider)

    def _handle(self, request: Request) -> Answer:
        if not request.target.startswith("/_joch"):
            try:
                return self._desk.handle(request)
            except Exception as error:  # the client shall see a fault of the simulator as one, not as a lost connection
                return _told(500, {"error": {"message": f"fault of the simulator: {error!r}", "type": "simulator_error"}})
        url = urlsplit(request.target)
        try:
            return _told(200, self._driven(request, url.path, parse_qs(url.query)))
        except (JochError, TypeError, ValueError, KeyError) as error:
            return _told(400, {"error": str(error)})

    def _driven(self, request: Request, path: str, query: Mapping[str, list[str]]) -> object:
        given = json.loads(request.body) if request.body else {}
        match request.method, path:
            case "GET", "/_joch/journal":
                provider, model = (query.get(name, [None])[0] for name in ("provider", "model"))
                return [call.as_json() for call in self.calls(provider, model)]
            case "DELETE", "/_joch/journal":
                self.clear()
            case "POST", "/_joch/script":
                self.load(given)
            case "POST", "/_joch/fault":
                self.fail(given.pop("provider", None), given.pop("model", None), **given)
            case "POST", "/_joch/recover":
                self.recover(given.get("provider"), given.get("model"))
            case "GET", "/_joch" | "/_joch/":
                return {"url": self.url, "environment": self.env()}
            case _:
                raise InvalidArgument(f"no such path: {request.method} {path}")
        return {"ok": True}


def _told(status: int, value: object) -> Answer:
    return Answer(status, {"content-type": "application/json"}, [json.dumps(value).encode()])
