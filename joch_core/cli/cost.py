"""`joch cost` and `joch top models`: what was spent, as a fold of the events."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer

from joch_core.app.explain import cost_by
from joch_core.app.moments import moment
from joch_core.cli.output import Report, Table
from joch_core.cli.session import current
from joch_core.errors import InvalidArgument
from joch_core.messages import Json
from joch_core.stores.base import Query

BY = ("model", "agent", "conversation", "execution")
Since = Annotated[str, typer.Option(help="How far back: 1h, 7d, 30d, or a date.")]


def cost(
    by: Annotated[str, typer.Option(help=f"One of {', '.join(BY)}.")] = "model",
    since: Since = "30d",
) -> Report:
    """What was spent."""
    if by not in BY:
        raise InvalidArgument(f"--by is {by!r}; it must be one of {', '.join(BY)}")
    rows = _rows(by, since)
    total = sum((Decimal(row["costUsd"]) for row in rows), Decimal(0))
    return Report({"by": by, "since": since, "rows": rows, "costUsd": str(total)}, _table(by, rows))


def top_models(since: Since = "30d") -> Report:
    """The models that cost the most."""
    rows = _rows("model", since)
    return Report(rows, _table("model", rows))


def _rows(by: str, since: str) -> list[Json]:
    with current().joch() as joch:
        query = Query(types=("ModelCallCompleted",), since=moment(since))
        return cost_by(joch.store.events(joch.namespace, query), by)


def _table(by: str, rows: list[Json]) -> Table:
    cells = [
        (row["name"], row["calls"], f"{row['tokens']:,}", f"${Decimal(row['costUsd']):.4f}", row["unpriced"] or None)
        for row in rows
    ]
    return Table((by.upper(), "CALLS", "TOKENS", "COST", "UNPRICED"), cells, "nothing was spent")
