"""What a driver does for a flow: write to the store, send to a provider. Keys are resolved here, at the moment of sending."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from joch_core.app.answers import delta_in_own_words, in_own_words
from joch_core.app.health import Health
from joch_core.errors import InvalidArgument, ProviderError
from joch_core.messages import Delta, Reply
from joch_core.providers.base import ClientPool, Provider, load_provider
from joch_core.providers.endpoint import Endpoint, Timeouts, environment_base_url
from joch_core.providers.exchange import Arriving, Exchange, asend, astream, send, stream
from joch_core.providers.faults import not_set_up
from joch_core.resources.commits import Commit, Committed
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute
from joch_core.routing.faults import counts_against_health
from joch_core.routing.steps import Send
from joch_core.stores.base import Store
from joch_core.wire import wire

DEFAULT_TIMEOUTS = Timeouts()
#: A model that thinks may be silent meanwhile, and a whole answer comes only when the model has finished.
_FIRST_CONTENT_OF_THOUGHT_S = 120.0
_FIRST_CONTENT_OF_WHOLE_S = 300.0
DEFAULT_TOTAL_S = 900.0
_OPEN_AFTER_FAILURES = 3
OPEN_S = 15.0
#: A probe whose end is never told (its caller went away) is waited for no longer.
_LONGEST_PROBE_S = 60.0

#: The variable that a Secret resource names; None if there is no such Secret.
SecretVariable = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class CallPorts:
    """The ports of one call."""

    store: Store
    namespace: str
    pool: ClientPool
    health: Health
    route: ModelRoute
    secret_variable: SecretVariable
    keep_raw: bool = False
    span: str = ""
    running: set[str] = field(default_factory=set)

    def commit(self, commit: Commit) -> Committed:
        """Write to the store."""
        self.running.add(self.span)
        return self.store.commit(self.namespace, commit, datetime.now(UTC))

    def ended(self) -> None:
        """The call is over, however it went."""
        self.running.discard(self.span)

    def send(self, step: Send) -> Reply:
        """Ask a provider and wait."""
        try:
            exchange = self._exchange(step, streaming=False)
            reply = send(exchange, self.pool)
        except ProviderError as fault:
            self._failed(step, fault)
            raise
        return self._answered(step, reply)

    async def asend(self, step: Send) -> Reply:
        """Ask a provider without holding the loop."""
        try:
            exchange = self._exchange(step, streaming=False)
            reply = await asend(exchange, self.pool)
        except ProviderError as fault:
            self._failed(step, fault)
            raise
        return self._answered(step, reply)

    def stream(self, step: Send) -> tuple[Iterator[Delta], _Arrival]:
        """Ask a provider and hand over what arrives."""
        exchange = self._exchange(step, streaming=True)
        arrival = _Arrival(self, step, Arriving(exchange))
        deltas = stream(exchange, self.pool, arrival.arriving)
        return arrival.watched(deltas), arrival

    def astream(self, step: Send) -> tuple[AsyncIterator[Delta], _Arrival]:
        """The same without holding the loop."""
        exchange = self._exchange(step, streaming=True)
        arrival = _Arrival(self, step, Arriving(exchange))
        deltas = astream(exchange, self.pool, arrival.arriving)
        return arrival.awatched(deltas), arrival

    def _exchange(self, step: Send, *, streaming: bool) -> Exchange:
        target = step.target
        spoken = wire(target.api)
        try:
            provider = load_provider(target.provider)
        except InvalidArgument as error:
            raise not_set_up(target, error) from None
        timeouts = timeouts_of(self.route, step.model, streaming=streaming)
        timeouts = replace(timeouts, attempt_s=max(0.001, min(timeouts.attempt_s, step.attempt_s)))
        exchange = Exchange(
            provider=provider,
            wire=spoken,
            target=target,
            endpoint=self._endpoint(step.model, provider),
            timeouts=timeouts,
            body=spoken.render(step.prepared.request, target, stream=streaming),
            seed=step.seed,
            keep_raw=self.keep_raw,
        )
        self.health.asked(target.origin, time.monotonic(), min(timeouts.attempt_s, _LONGEST_PROBE_S))
        return exchange

    def _endpoint(self, model: Model, provider: Provider) -> Endpoint:
        name = model.spec.provider
        variables = provider.key_variables
        if model.spec.auth is not None:
            secret = model.spec.auth.secret_ref.name
            variable = self.secret_variable(secret)
            variables = () if variable is None else (variable,)
        variable, key = next(((name, os.environ[name].strip()) for name in variables if os.environ.get(name)), ("", None))
        if key is not None and not (key.isascii() and key.isprintable() and key):
            raise ProviderError(
                "authentication", f"{variable} holds what no key is: blanks or other signs", code="no_key", sent=False,
                retryable=False,
            )  # fmt: skip
        if key is None and variables:
            wanted = " or ".join(variables)
            raise ProviderError(
                "authentication", f"there is no key for {name}: set {wanted}", code="no_key", sent=False, retryable=False
            )
        endpoint = model.spec.endpoint
        return Endpoint(
            provider=name,
            base_url=endpoint.base_url or environment_base_url(name) or model.default_base_url,
            api_key=key,
            region=endpoint.region,
            options=dict(endpoint.options),
        )

    def _answered(self, step: Send, reply: Reply) -> Reply:
        self.health.succeeded(step.target.origin)
        return in_own_words(reply, step)

    def _failed(self, step: Send, fault: ProviderError) -> None:
        if not counts_against_health(fault):
            if fault.status is not None:  # it refuses the request, and is there
                self.health.succeeded(step.target.origin)
            return
        own, routed = step.model.spec.health, self.route.spec.health
        open_s = own.open_seconds or routed.open_seconds or OPEN_S
        limited = fault.kind in ("rate_limit", "quota")
        self.health.failed(
            step.target.origin,
            time.monotonic(),
            threshold=own.open_after_failures or routed.open_after_failures or _OPEN_AFTER_FAILURES,
            open_s=open_s,
            retry_after_s=(fault.retry_after_s or open_s) if limited else None,
        )


@dataclass(slots=True)
class _Arrival:
    """A streamed answer on its way, with the caller's own tool names."""

    ports: CallPorts
    step: Send
    arriving: Arriving

    def reply(self) -> Reply:
        """The whole answer."""
        try:
            reply = self.arriving.reply()
        except ProviderError as fault:
            self.ports._failed(self.step, fault)  # noqa: SLF001  the arrival is a part of its ports
            raise
        return self.ports._answered(self.step, reply)  # noqa: SLF001

    def partial(self) -> Reply:
        """What has arrived so far."""
        return in_own_words(self.arriving.partial(), self.step)

    def watched(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        """The deltas, with the caller's own tool names; a fault counts against health."""
        try:
            for delta in deltas:
                yield delta if delta.tool_call is None else delta_in_own_words(delta, self.step)
        except ProviderError as fault:
            self.ports._failed(self.step, fault)  # noqa: SLF001
            raise
        finally:
            close = getattr(deltas, "close", None)
            if close is not None:
                close()

    async def awatched(self, deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        """The same without holding the loop."""
        try:
            async for delta in deltas:
                yield delta if delta.tool_call is None else delta_in_own_words(delta, self.step)
        except ProviderError as fault:
            self.ports._failed(self.step, fault)  # noqa: SLF001
            raise
        finally:
            close = getattr(deltas, "aclose", None)
            if close is not None:
                await close()


def timeouts_of(route: ModelRoute, model: Model, *, streaming: bool) -> Timeouts:
    """The Model's own time-outs, else the route's, else the defaults."""
    own, routed = model.spec.timeouts, route.spec.timeouts
    thinks = "reasoning" in model.own_target.capabilities
    first_s = _FIRST_CONTENT_OF_THOUGHT_S if thinks else DEFAULT_TIMEOUTS.first_content_s
    if not streaming:
        first_s = _FIRST_CONTENT_OF_WHOLE_S
    return Timeouts(
        connect_s=own.connect_seconds or routed.connect_seconds or DEFAULT_TIMEOUTS.connect_s,
        first_content_s=own.first_content_seconds or routed.first_content_seconds or first_s,
        between_chunks_s=own.between_chunks_seconds or routed.between_chunks_seconds or DEFAULT_TIMEOUTS.between_chunks_s,
        attempt_s=own.attempt_seconds or routed.attempt_seconds or DEFAULT_TIMEOUTS.attempt_s,
    )
