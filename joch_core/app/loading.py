"""Resources from files and from the store, as one catalog. The rim where YAML files are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from joch_core.app.settings import Settings
from joch_core.errors import InvalidArgument, InvalidResource, Problem
from joch_core.resources.base import Resource
from joch_core.resources.catalog import Catalog
from joch_core.resources.documents import from_json, load
from joch_core.stores.base import Store


def read_texts(places: Iterable[Path]) -> dict[str, str]:
    """The YAML files that are meant (a folder means all files below it), as name -> text.

    Raises:
        InvalidArgument: a place is not there, or may not be read.
        InvalidResource: a file is no text.
    """
    texts: dict[str, str] = {}
    for place in places:
        if not place.exists():
            raise InvalidArgument(f"{place}: there is no such file or folder")
        files = sorted((*place.rglob("*.yaml"), *place.rglob("*.yml"))) if place.is_dir() else [place]
        if not files:
            raise InvalidArgument(f"{place}: the folder holds no YAML file")
        for file in files:
            try:
                texts[str(file)] = file.read_text(encoding="utf-8")
            except OSError as error:
                raise InvalidArgument(f"{file}: cannot be read ({error.strerror})") from None
            except UnicodeDecodeError:
                raise InvalidResource([Problem("is no text in UTF-8, so it is no YAML", file=str(file))]) from None
    return texts


class CatalogSource:
    """The catalog of one `Joch`: what was applied, and the files beside it (files win). Read anew only where it changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = self._read_files()
        self._generations: tuple[tuple[str, str, int], ...] | None = None
        self._catalog = Catalog(namespace=settings.namespace)

    def catalog(self, store: Store) -> Catalog:
        """The catalog as it stands in the store now."""
        records = store.records(self._settings.namespace)
        generations = tuple((record.kind, record.name, record.generation) for record in records)
        if generations != self._generations:
            applied = from_json(record.body for record in records)
            self._catalog = Catalog((*applied, *self._files), namespace=self._settings.namespace)
            self._generations = generations
        return self._catalog

    def _read_files(self) -> Sequence[Resource[Any]]:
        texts = read_texts(self._settings.resources)
        return load(texts, namespace=self._settings.namespace) if texts else ()
