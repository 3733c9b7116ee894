"""`joch store check`: does the database hold, and does every hash chain."""

from __future__ import annotations

from joch_core.cli.output import Report
from joch_core.cli.session import current
from joch_core.redaction import redact


def check() -> Report:
    """Check the database's integrity and the hash chain of every conversation, in all namespaces. Exit code 1 if one breaks."""
    with current().joch() as joch:
        where = redact(joch.settings.store)
        problems = [redact(text) for text in joch.store.check()]
    told = "\n".join(f"✗ {text}" for text in problems) or f"✓ {where}: the database and every hash chain hold"
    return Report({"store": where, "problems": problems}, told, 1 if problems else 0)
