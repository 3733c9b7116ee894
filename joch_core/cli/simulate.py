"""`joch simulate`: the local double of the providers as a process of its own, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from joch_core.errors import InvalidArgument
from joch_core.testing import KEY, Simulator

_BANNER = """\
Simulated providers on {url} (loopback only; no key opens anything; Ctrl-C ends it)

  OpenAI Chat and Responses   {openai}
  Anthropic Messages          {anthropic}
  Gemini generateContent      {google}
  any other, OpenAI's formats {url}/p/NAME/v1

Paste into the shell where the agent runs:

{environment}

Faults by model name: openai:gpt-5-mini+fail=503  +fail=429;retry_after=1  +quota  +truncate=3  +disconnect=3  +delay=0.5
Journal: curl {url}/_joch/journal      Fault: curl -d '{{"provider": "openai", "status": 503, "times": 2}}' {url}/_joch/fault
"""


def simulate(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 0,
    script: Annotated[Path | None, typer.Option(help="A YAML file with turns, scripts, faults and windows.")] = None,
) -> None:
    """Serve a local double of the model providers: four wire formats, streaming, tools, and faults by model name."""
    if script is not None and not script.is_file():
        typer.echo(f"no such file: {script}", err=True)
        raise typer.Exit(2)
    try:
        with Simulator(port=port, script=script) as simulator:
            typer.echo(banner(simulator), nl=False)
            _wait_for_the_end()
    except OSError as error:
        typer.echo(f"port {port} on 127.0.0.1 cannot be opened: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    except InvalidArgument as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def banner(simulator: Simulator) -> str:
    """What is printed at the start: base URLs and the environment lines to paste."""
    places = {name: simulator.base_url(name) for name in ("openai", "anthropic", "google")}
    environment = "\n".join(f"export {name}={value}" for name, value in simulator.env().items())
    return _BANNER.format(url=simulator.url, environment=environment, key=KEY, **places)


def _wait_for_the_end() -> None:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    over.wait()
