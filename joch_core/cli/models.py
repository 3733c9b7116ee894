"""`joch models` and `joch models check`: what the backends can do, and which of them a route may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from joch_core.cli.output import MARKS, Report, Table
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.resources.backends import provider as provider_row
from joch_core.resources.backends import split_backend, unknown_provider
from joch_core.resources.model import Model

if TYPE_CHECKING:
    from joch_core.resources.catalog import Catalog
    from joch_core.resources.route import ModelRoute
    from joch_core.routing.candidates import Selection

#: Capability -> its column in the matrix.
_COLUMNS = {
    "toolCalling": "TOOLS",
    "structuredOutput": "SCHEMA",
    "jsonSchema": "STRICT",
    "vision": "IMAGES",
    "files": "FILES",
    "audio": "AUDIO",
    "reasoning": "REASONING",
    "computerUse": "COMPUTER",
}


def models(provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None) -> Report:
    """The capability matrix: what each backend can do, how much it takes, and what it costs."""
    if provider is not None and provider_row(provider) is None:
        raise InvalidArgument(unknown_provider(provider))
    with current().joch() as joch:
        found = joch.catalog.models(provider)
    columns = ["BACKEND", "MODEL", "INPUT", "OUTPUT", "USD/M IN", "USD/M OUT", "REGIONS", *_COLUMNS.values()]
    return Report([_facts(model) for model in found], Table(columns, [_row(model) for model in found], "no model"))


def check(
    route: Annotated[str | None, typer.Option("--route", "--agent", help="The route (or the agent that names it).")] = None,
    target: Annotated[
        str | None, typer.Option(help="Only this backend, in the route or not.", metavar="PROVIDER:MODEL")
    ] = None,
) -> Report:
    """Which candidates satisfy a route, and why not. Exit code 1 if the target, or without one every candidate, fails."""
    if route is None:
        raise InvalidArgument("name the route to check: joch models check --route NAME")
    if target is not None:
        split_backend(target)
    with current().joch() as joch:
        wanted = joch.route(route)
        catalog = joch.catalog
        if target is not None:
            wanted = _only(wanted, target)
        selection = _select(wanted, catalog)
    rows = [_verdict(verdict, catalog) for verdict in selection.verdicts]
    text = "\n".join(f"{MARKS['ok' if row['satisfies'] else 'fail']} {row['backend']}: {row['reason']}" for row in rows)
    return Report({"route": wanted.name, "candidates": rows}, text, 0 if any(row["satisfies"] for row in rows) else 1)


def _only(route: ModelRoute, backend: str) -> ModelRoute:
    strategy = route.spec.strategy.model_copy(update={"primary": backend, "fallback": ()})
    return route.model_copy(update={"spec": route.spec.model_copy(update={"strategy": strategy})})


def _select(route: ModelRoute, catalog: Catalog) -> Selection:
    """Every candidate judged as for a small request, whatever the flags of failover say."""
    from joch_core.routing.candidates import Demand, Situation, select
    from joch_core.routing.judge import Allow

    flags = route.spec.strategy.failover
    open_flags = type(flags).model_validate(dict.fromkeys(type(flags).model_fields, True))
    strategy = route.spec.strategy.model_copy(update={"failover": open_flags})
    route = route.model_copy(update={"spec": route.spec.model_copy(update={"strategy": strategy})})
    situation = Situation({backend: catalog.model(backend) for backend in route.candidates})
    return select(route, Demand(), situation, lambda _target, _model: Allow())


def _verdict(verdict: Any, catalog: Catalog) -> Json:
    reason = verdict.reason
    if catalog.assumed(verdict.backend):
        reason += " (not in the catalog: abilities and limits are assumed)"
    return {
        "backend": verdict.backend,
        "model": catalog.model(verdict.backend).spec.model,
        "satisfies": verdict.outcome == "eligible",
        "code": verdict.code,
        "reason": reason,
    }


def _facts(model: Model) -> Json:
    pricing = model.pricing
    return {
        "backend": model.backend,
        "provider": model.spec.provider,
        "model": model.spec.model,
        "api": model.api,
        "capabilities": sorted(model.capabilities),
        "inputTokens": model.input_window,
        "maxOutputTokens": model.spec.limits.max_output_tokens,
        "regions": list(model.regions),
        "pricing": pricing.as_json() if pricing.known else None,
    }


def _row(model: Model) -> Sequence[object]:
    pricing = model.pricing
    return [
        model.backend,
        model.spec.model,
        _tokens(model.input_window),
        _tokens(model.spec.limits.max_output_tokens),
        pricing.input_per_million_tokens,
        pricing.output_per_million_tokens,
        model.regions,
        *(capability in model.capabilities for capability in _COLUMNS),
    ]


def _tokens(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"
