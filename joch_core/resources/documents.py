"""YAML text to resources. Every fault of every document is reported at once, with file and line. Reads no files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from joch_core.errors import InvalidResource, Problem
from joch_core.messages import Json
from joch_core.resources.base import DEFAULT_NAMESPACE, Resource, nearest
from joch_core.resources.catalog import Catalog
from joch_core.resources.flat import restore
from joch_core.resources.kinds import KINDS, kind_class
from joch_core.resources.problems import of_validation
from joch_core.resources.yaml_lines import Document, Lines, Path, read

_SEPARATOR = re.compile(r"^---(\s.*)?$")


def load(
    texts: Mapping[str, str], *, namespace: str = DEFAULT_NAMESPACE, catalog: Catalog | None = None
) -> tuple[Resource[Any], ...]:
    """The resources of some files (name -> text), in order. What names no namespace belongs to `namespace`.

    References must lead to one of these or to one in `catalog`.

    Raises:
        InvalidResource: something is wrong; `.problems` has every fault with file and line.
    """
    problems: list[Problem] = []
    found: list[tuple[str, Resource[Any], Lines]] = []
    for file, text in texts.items():
        resources, faults = load_text(text, namespace=namespace)
        problems += [Problem(one.text, file, one.line, one.field) for one in faults]
        found += [(file, resource, lines) for resource, lines in resources]
    problems += _repeated(found)
    problems += _dangling(found, catalog or Catalog(namespace=namespace))
    if problems:
        order = {file: index for index, file in enumerate(texts)}
        raise InvalidResource(sorted(problems, key=lambda one: (order.get(one.file, 0), one.line or 0)))
    return tuple(resource for _, resource, _ in found)


def load_text(text: str, *, namespace: str = DEFAULT_NAMESPACE) -> tuple[list[tuple[Resource[Any], Lines]], list[Problem]]:
    """The resources of one text with their lines, and the faults of the others. References are not looked at."""
    resources: list[tuple[Resource[Any], Lines]] = []
    problems: list[Problem] = []
    for first_line, part in _parts(text):
        document, faults = read(restore(part), first_line=first_line)
        problems += faults
        if document is None or faults:
            continue
        for data, lines in _items(document):
            resource = resource_of(data, lines, namespace=namespace)
            if isinstance(resource, Resource):
                resources.append((resource, lines))
            else:
                problems += resource
    return resources, problems


def from_json(documents: Iterable[Json]) -> tuple[Resource[Any], ...]:
    """The resources that a store has kept.

    Raises:
        InvalidResource: one is of a form that this version does not know.
    """
    found = [resource_of(document, Lines()) for document in documents]
    problems = [problem for one in found if not isinstance(one, Resource) for problem in one]
    if problems:
        raise InvalidResource(problems)
    return tuple(one for one in found if isinstance(one, Resource))


def resource_of(data: Any, lines: Lines, *, namespace: str = DEFAULT_NAMESPACE) -> Resource[Any] | list[Problem]:
    """One document as its kind, or what is wrong with it."""
    here = lines.of(())
    if not isinstance(data, dict):
        return [Problem("is no resource: a document has apiVersion, kind, metadata and spec", line=here)]
    kind = data.get("kind")
    if kind is None:
        return [Problem("is missing", line=here, field="kind")]
    if kind not in KINDS:
        return [Problem(f"unknown kind {kind!r}{nearest(str(kind), KINDS)}", line=lines.of(("kind",)), field="kind")]
    metadata = data.get("metadata")
    if isinstance(metadata, dict) and "namespace" not in metadata and namespace != DEFAULT_NAMESPACE:
        data = {**data, "metadata": {**metadata, "namespace": namespace}}
    missing = [] if "apiVersion" in data else [Problem("is missing", line=here, field="apiVersion")]
    try:
        resource = kind_class(kind).model_validate(_without_gaps(data))
    except ValidationError as error:
        return missing + of_validation(error, kind_class(kind), lines)
    return missing or resource


def _without_gaps(data: Mapping[str, Any]) -> dict[str, Any]:
    """`field:` with nothing behind it is a field that was left out, as a Kubernetes user expects."""
    return {
        name: _without_gaps(value) if isinstance(value, dict) and name != "when" else value
        for name, value in data.items()
        if value is not None
    }


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a text with their first lines."""
    part: list[str] = []
    first = 1
    # Only line feeds end a line here: str.splitlines() would also cut at U+2028 within a text.
    for number, line in enumerate(text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"), start=1):
        if _SEPARATOR.match(line) or line == "...":
            yield first, "\n".join(part)
            part, first = ([line[3:]], number) if _SEPARATOR.match(line) else ([], number + 1)
        else:
            part.append(line)
    yield first, "\n".join(part)


def _items(document: Document) -> Iterator[tuple[Any, Lines]]:
    """A document is one resource or a list of them (as `joch get -o yaml` prints, or a List as kubectl does)."""
    data = document.data
    prefix: Path = ()
    if isinstance(data, dict) and data.get("kind") == "List" and isinstance(data.get("items"), list):
        data, prefix = data["items"], ("items",)
    if not isinstance(data, list):
        yield data, document.lines
        return
    for index, item in enumerate(data):
        at = (*prefix, index)
        below = {path[len(at) :]: line for path, line in document.lines.by_path.items() if path[: len(at)] == at}
        yield item, Lines(below)


def _repeated(found: Sequence[tuple[str, Resource[Any], Lines]]) -> Iterator[Problem]:
    seen: dict[tuple[str, str, str], str] = {}
    for file, resource, lines in found:
        key = (resource.namespace, resource.kind, resource.name)
        line = lines.of(("metadata", "name"))
        if key in seen:
            yield Problem(f"{resource.kind} {resource.name!r} stands already in {seen[key]}", file, line, "metadata.name")
        else:
            seen[key] = f"{file}:{line}" if file else f"line {line}"


def _dangling(found: Sequence[tuple[str, Resource[Any], Lines]], catalog: Catalog) -> Iterator[Problem]:
    """References that lead nowhere, neither to what is known nor to what comes with them."""
    for file, resource, lines in found:
        together = Catalog((*catalog, *(other for _, other, _ in found)), namespace=resource.namespace)
        for problem in together.problems(resource):
            path = tuple(problem.field.split("."))
            yield Problem(problem.text, file, lines.of(path), problem.field)
