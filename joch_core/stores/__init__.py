"""What is kept, and where: `open_store(url)`. Engines are imported when a URL first names them."""

from __future__ import annotations

from pathlib import Path

from joch_core.errors import InvalidArgument
from joch_core.stores.base import Store

_FORMS = "sqlite:///file.db, sqlite:////absolute/file.db, sqlite:///:memory: or postgresql://…"


def open_store(url: str) -> Store:
    """The store that a URL names. Nothing is opened yet: that happens on first use.

    Raises:
        InvalidArgument: the URL has no such form.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        from joch_core.stores.shelves import SqlStore
        from joch_core.stores.sqlite import MEMORY, SqliteDatabase

        if rest == "/":
            raise InvalidArgument(f"{url!r} names no file; write {_FORMS}")
        path = rest.removeprefix("/") if rest.startswith("/") else rest
        if path in ("", MEMORY):
            return SqlStore(url, SqliteDatabase(MEMORY))
        return SqlStore(url, SqliteDatabase(str(Path(path).expanduser().absolute())))
    if separator and scheme in ("postgresql", "postgres"):
        raise InvalidArgument("PostgreSQL stores come with a later version; use sqlite:///file.db")
    raise InvalidArgument(f"{url!r} is no store URL; write {_FORMS}")
