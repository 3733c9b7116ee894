"""Is this set-up sound? Each check is a finding with what to do. Keys are looked for, never shown, and never sent."""

from __future__ import annotations

import os
import platform
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from joch_core.errors import InvalidArgument, JochError
from joch_core.messages import Json
from joch_core.providers.base import load_provider
from joch_core.providers.endpoint import environment_base_url
from joch_core.redaction import redact
from joch_core.resources.route import ModelRoute
from joch_core.resources.secret import Secret
from joch_core.stores.base import Query

if TYPE_CHECKING:
    from joch_core.app.joch import Joch
    from joch_core.resources.model import Model

_PACKAGES = (
    "joch", "openai", "anthropic", "google-genai", "httpx2", "langchain-core", "langgraph", "llama-index-core",
    "langchain-joch", "langgraph-checkpoint-joch", "llama-index-llms-joch", "psycopg",
)  # fmt: skip
_PING_TIMEOUT_S = 5.0
#: Where a provider is reached without a base URL of its own.
_HOSTS = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `area` is store, resources, keys, versions, clock or ping; `todo` is empty where nothing is to be done."""

    area: str
    level: Literal["ok", "warn", "fail"]
    text: str
    todo: str = ""

    def as_json(self) -> Json:
        """`{area, level, text, todo}`."""
        return asdict(self)


def examine(joch: Joch, *, ping: bool = False) -> Iterator[Finding]:
    """All checks, each as soon as it is done. With `ping` a connection to each endpoint is opened and closed again."""
    yield _versions()
    yield from _store(joch)
    try:
        routes = joch.catalog.all(ModelRoute)
    except (JochError, OSError) as problem:
        yield Finding(
            "resources", "fail", redact(str(problem)), "mend the file that it names; joch validate -f FILE checks it"
        )
        return
    yield _routes(routes)
    models = _models(joch, routes)
    seen: set[str] = set()
    for model in models:
        finding = _key(joch, model, needed=bool(routes))
        if finding.text not in seen:
            seen.add(finding.text)
            yield finding
    if ping:
        places = {place: model.spec.provider for model in models if (place := _place(model)) is not None}
        yield from (_reach(place, provider) for place, provider in sorted(places.items()))


def _versions() -> Finding:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return Finding("versions", "ok", f"Python {platform.python_version()}, {', '.join(found)}")


def _store(joch: Joch) -> Iterator[Finding]:
    where = redact(joch.settings.store)
    try:
        problems = joch.store.check()
    except JochError as problem:
        yield Finding(
            "store", "fail", redact(problem.message), "see that the place exists and that this user may write there"
        )
        return
    if problems:
        yield from (
            Finding("store", "fail", redact(text), "stop writing to it and go back to a backup") for text in problems
        )
    else:
        yield Finding("store", "ok", f"{where} opens, its integrity and every hash chain hold")
    now = datetime.now(UTC)
    newest = max((event.at for event in joch.store.events(joch.namespace, Query(since=now))), default=None)
    if newest is not None and newest > now + timedelta(seconds=2):
        ahead = f"the store holds events of {newest:%Y-%m-%d %H:%M:%S} UTC, and here it is {now:%Y-%m-%d %H:%M:%S} UTC"
        yield Finding("clock", "fail", ahead, "set the clock of the machine that is wrong (NTP); leases depend on it")
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC, not behind the store")


def _routes(routes: tuple[ModelRoute, ...]) -> Finding:
    if not routes:
        return Finding("resources", "warn", "no ModelRoute in this namespace", "joch apply -f FILE writes one")
    return Finding("resources", "ok", f"{len(routes)} route{'s' * (len(routes) > 1)}: {', '.join(_names(routes))}")


def _names(routes: tuple[ModelRoute, ...]) -> list[str]:
    return [route.metadata.name for route in routes]


def _models(joch: Joch, routes: tuple[ModelRoute, ...]) -> list[Model]:
    """The candidates of the routes; without a route one model of each provider that has its key in the environment."""
    backends = dict.fromkeys(backend for route in routes for backend in route.candidates)
    if backends:
        return [joch.catalog.model(backend) for backend in backends]
    firsts: dict[str, Model] = {}
    for model in joch.catalog.models():
        firsts.setdefault(model.spec.provider, model)
    return [model for name, model in firsts.items() if name in _HOSTS]


def _key(joch: Joch, model: Model, *, needed: bool) -> Finding:
    name = model.spec.provider
    try:
        variables = list(load_provider(name).key_variables)
    except InvalidArgument as problem:
        return Finding("keys", "fail", f"{name}: {problem.message}", "install what the message names")
    if model.spec.auth is not None:
        secret = joch.catalog.find(Secret, model.spec.auth.secret_ref.name)
        variables = [] if secret is None else [str(secret.spec.source.name)]
    if not variables:
        return Finding("keys", "ok", f"{name} needs no key of its own")
    present = next((variable for variable in variables if os.environ.get(variable, "").strip()), None)
    if present is None:
        return Finding("keys", "fail" if needed else "warn", f"{name} has no key", f"set {' or '.join(variables)}")
    return Finding("keys", "ok", f"{name} has a key in {present}")


def _place(model: Model) -> str | None:
    name = model.spec.provider
    return model.spec.endpoint.base_url or environment_base_url(name) or model.default_base_url or _HOSTS.get(name)


def _reach(place: str, provider: str) -> Finding:
    """A connection (with TLS where the address says so), opened and closed: no request, no key."""
    address = urlsplit(place)
    host, secure = address.hostname or "", address.scheme == "https"
    begun = time.perf_counter()
    try:
        with socket.create_connection((host, address.port or (443 if secure else 80)), _PING_TIMEOUT_S) as plain:
            if secure:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host):
                    pass
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        return Finding("ping", "fail", f"{provider} at {host} cannot be reached: {why}", "check network, proxy and base URL")
    return Finding("ping", "ok", f"{provider} at {host} answers in {(time.perf_counter() - begun) * 1000:.0f} ms")
