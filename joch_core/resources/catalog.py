"""Catalog: all resources of one namespace, with their references checked. A value; it asks no store and reads no YAML."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from joch_core.errors import InvalidArgument, InvalidResource, NotFound, Problem
from joch_core.messages import Json
from joch_core.resources import builtin
from joch_core.resources.backends import split_backend
from joch_core.resources.base import DEFAULT_NAMESPACE, Metadata, Resource, nearest
from joch_core.resources.events import canonical_json
from joch_core.resources.model import Model, ModelSpec
from joch_core.resources.route import ModelRoute

ResourceT = TypeVar("ResourceT", bound=Resource[Any])

#: The label of a model that nobody described; its abilities and limits are careful guesses.
ASSUMED = "joch.dev/assumed"


class Catalog:
    """The resources of a namespace. Models that nobody wrote down come from the built-in catalog."""

    def __init__(self, resources: Iterable[Resource[Any]] = (), *, namespace: str = DEFAULT_NAMESPACE) -> None:
        self.namespace = namespace
        self._resources: dict[tuple[str, str], Resource[Any]] = {}
        self._elsewhere: dict[tuple[str, str], str] = {}
        for resource in resources:
            if resource.namespace == namespace:
                self._resources[resource.kind, resource.name] = resource
            else:
                self._elsewhere[resource.kind, resource.name] = resource.namespace
        self._models: dict[str, Model] = {}
        self._hash = ""

    def __iter__(self) -> Iterator[Resource[Any]]:
        return iter(self._resources.values())

    def __len__(self) -> int:
        return len(self._resources)

    def with_resources(self, resources: Iterable[Resource[Any]]) -> Catalog:
        """A catalog with these as well; they win over resources of the same kind and name."""
        return Catalog((*self._resources.values(), *resources), namespace=self.namespace)

    def find(self, kind: type[ResourceT], name: str) -> ResourceT | None:
        """The resource of this kind and name."""
        return cast("ResourceT | None", self._resources.get((kind.__name__, name)))

    def get(self, kind: type[ResourceT], name: str) -> ResourceT:
        """The resource of this kind and name.

        Raises:
            NotFound: there is none; the message names the nearest, or the namespace where there is one.
        """
        found = self.find(kind, name)
        if found is not None:
            return found
        sort = kind.__name__
        if other := self._elsewhere.get((sort, name)):
            raise NotFound(f"{sort} {name!r} stands in namespace {other!r}, not in {self.namespace!r}: use that namespace")
        known = [resource.name for resource in self.all(kind)]
        hint = nearest(name, known) if known else f"; no {sort} is known in namespace {self.namespace!r}"
        raise NotFound(f"no {sort} is called {name!r}{hint}")

    def all(self, kind: type[ResourceT]) -> tuple[ResourceT, ...]:
        """All resources of a kind, by name."""
        found = (resource for (sort, _), resource in self._resources.items() if sort == kind.__name__)
        return tuple(sorted(cast("Iterator[ResourceT]", found), key=lambda resource: resource.name))

    def route(self, name: str) -> ModelRoute:
        """The route of this name.

        Raises:
            NotFound: there is none.
        """
        return self.get(ModelRoute, name)

    def model(self, backend: str) -> Model:
        """The model that `provider:name` means: the user's own, else the built-in one, else a careful guess (`assumed`).

        What the user's own leaves out is taken from the built-in one of the same model id.

        Raises:
            InvalidArgument: it has no such form, or nobody knows the provider; the message names the nearest.
        """
        kept = self._models.get(backend)
        if kept is None:
            kept = self._models[backend] = self._resolve(backend)
        return kept

    def assumed(self, backend: str) -> bool:
        """Is the model one that nobody described? Then it is worth a warning."""
        return self.model(backend).labels.get(ASSUMED) == "true"

    def models(self, provider: str | None = None) -> tuple[Model, ...]:
        """All models that have a name here, the user's own first, then the built-in ones."""
        own = [model.backend for model in self.all(Model)]
        backends = dict.fromkeys((*own, *builtin.names()))
        return tuple(self.model(one) for one in backends if provider in (None, one.partition(":")[0]))

    @property
    def hash(self) -> str:
        """What every decision was made from: the resources and the built-in models."""
        if not self._hash:
            documents = [self._resources[key].document() for key in sorted(self._resources)]
            text = canonical_json([builtin.table()["header"]["sha256"], documents])
            self._hash = hashlib.sha256(text.encode()).hexdigest()
        return self._hash

    def problems(self, resource: Resource[Any]) -> list[Problem]:
        """References of a resource that lead nowhere. Conversations, executions and agents need not exist yet."""
        found = []
        for field, kind, name in references(resource.document()["spec"]):
            known = [name for sort, name in self._resources if sort == kind]
            if kind == "Model" and (name in known or self._is_backend(name)):
                continue
            if name not in known:
                hint = nearest(name, known) if known else f"; no {kind} is known here"
                found.append(Problem(f"no {kind} is called {name!r}{hint}", field=f"spec.{field}"))
        return found

    def check(self) -> None:
        """Do all references lead somewhere?

        Raises:
            InvalidResource: some do not; all are named.
        """
        found = [
            Problem(problem.text, field=f"{resource.kind}/{resource.name} {problem.field}")
            for resource in self
            for problem in self.problems(resource)
        ]
        if found:
            raise InvalidResource(found)

    def _is_backend(self, name: str) -> bool:
        try:
            split_backend(name)
        except InvalidArgument:
            return False
        return True

    def _resolve(self, backend: str) -> Model:
        provider, name = split_backend(backend)
        own = self.find(Model, name)
        if own is not None and own.spec.provider == provider:
            return complete(own)
        spec = builtin.described(backend)
        labels: dict[str, str] = {}
        if spec is None:
            known = builtin.by_id(provider, name)
            spec = {**(known[0] if known else builtin.conservative(provider)), "model": name}
            if known is None:
                labels = {ASSUMED: "true"}
            elif not known[1]:
                spec.pop("pricing", None)
        metadata = Metadata.model_construct(
            {"name", *(("labels",) if labels else ())}, name=name, namespace=self.namespace, labels=labels
        )
        return Model(metadata=metadata, spec=ModelSpec.model_validate({**spec, "provider": provider}))


def complete(model: Model) -> Model:
    """The user's model with what it leaves out taken from the built-in one of the same id."""
    provider = model.spec.provider
    known = builtin.by_id(provider, model.spec.model)
    base = {**(known[0] if known else builtin.conservative(provider))}
    if known is None or not known[1]:
        base.pop("pricing", None)
    if "limits" in base and model.spec.limits.context_window_tokens is not None:
        base["limits"] = {name: value for name, value in base["limits"].items() if name == "maxOutputTokens"}
    given = model.spec.as_json()
    if known is None and "capabilities" in given:
        base["capabilities"] = {}  # who lists what an unknown model can do has said everything
    merged = {**base, **{name: _over(base.get(name), value) for name, value in given.items()}}
    return Model(metadata=model.metadata, spec=ModelSpec.model_validate(merged))


def _over(base: Any, given: Any) -> Any:
    return {**base, **given} if isinstance(base, Mapping) and isinstance(given, Mapping) else given


#: Fields whose resource must exist, and its kind.
MUST_EXIST: Mapping[str, str] = {
    "secretRef": "Secret",
    "baseUrlSecretRef": "Secret",
    "modelRouteOverride": "ModelRoute",
    "modelRouteRef": "ModelRoute",
    "summarizerModelRef": "Model",
}


def references(spec: Json, path: str = "") -> Iterator[tuple[str, str, str]]:
    """The references of a spec that must lead somewhere: field, kind, name."""
    for field, value in spec.items():
        place = f"{path}.{field}" if path else field
        if field in MUST_EXIST and value:
            yield place, MUST_EXIST[field], value if isinstance(value, str) else value["name"]
        elif isinstance(value, Mapping):
            yield from references(dict(value), place)
