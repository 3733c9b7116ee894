"""Spans of time as people write them: `30s`, `15m`, `1h`, `7d`, or a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from joch_core.errors import InvalidArgument

_UNITS: Mapping[str, str] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(since: str | timedelta | datetime | None) -> datetime | None:
    """The moment that is meant: `1h`, `30m`, `7d`, a span before now, or a moment itself.

    Raises:
        InvalidArgument: it has no such form.
    """
    if since is None or isinstance(since, datetime):
        return since
    if isinstance(since, str):
        number, unit = since[:-1], since[-1:]
        if unit not in _UNITS or not number.isdigit():
            try:
                return datetime.fromisoformat(since).astimezone(UTC)
            except ValueError:
                raise InvalidArgument(f"{since!r} is no span of time; write 30s, 15m, 1h, 7d or a date") from None
        since = timedelta(**{_UNITS[unit]: int(number)})
    return datetime.now(UTC) - since
