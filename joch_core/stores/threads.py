"""The shelf of graph threads. Its tables are `SCHEMA`; the class `Threads` follows."""

from __future__ import annotations

from joch_core.stores.graphs import SCHEMA

__all__ = ["SCHEMA"]
