"""The catalog: whose model a backend means, what the built-in one holds, and the routes that nobody wrote down."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import jsonschema
import pytest

from joch_core.errors import InvalidArgument, NotFound
from joch_core.resources import builtin
from joch_core.resources.catalog import Catalog
from joch_core.resources.documents import load
from joch_core.resources.json_schema import json_schema
from joch_core.resources.kinds import KINDS, kind_class, kind_named
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute, route_of

MINE = """\
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: claude-sonnet}
spec:
  provider: bedrock
  model: eu.anthropic.claude-sonnet-4-6-v1:0
  endpoint: {region: eu-central-1}
---
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: gpt-5-thinking}
spec:
  provider: openai
  model: gpt-5.5
  capabilities: {vision: false}
  limits: {contextWindowTokens: 100000, maxOutputTokens: 10000}
  routing: {regions: [eu]}
"""


@pytest.mark.parametrize("backend", ["openai:gpt-5-thinking", "anthropic:claude-sonnet", "google:gemini-pro"])
def test_the_names_of_the_specification_stand_for_real_models_that_meet_its_route(backend: str) -> None:
    catalog = Catalog()
    model = catalog.model(backend)

    assert not catalog.assumed(backend)
    assert builtin.described(f"{backend.partition(':')[0]}:{model.spec.model}") is not None
    assert model.spec.model != "claude-sonnet-4-5"
    assert {"toolCalling", "structuredOutput", "streaming"} <= model.capabilities
    assert (model.input_window or 0) >= 200_000
    assert model.worst_case_micro_usd(1_000, 1_000)
    assert model.target().backend == backend
    assert model.regions == ()


def test_the_users_model_wins_and_takes_what_it_leaves_out_from_the_built_in_one() -> None:
    model = Catalog(load({"m": MINE})).model("openai:gpt-5-thinking")

    assert model.spec.model == "gpt-5.5"
    assert "toolCalling" in model.capabilities
    assert "vision" not in model.capabilities
    assert model.input_window == 90_000
    assert model.pricing.known
    assert model.regions == ("eu",)


def test_another_cloud_gives_the_abilities_but_not_the_price() -> None:
    catalog = Catalog(load({"m": MINE}))
    model = catalog.model("bedrock:claude-sonnet")

    assert "toolCalling" in model.capabilities
    assert model.input_window
    assert not model.pricing.known
    assert model.regions == ("eu-central-1", "eu")
    assert catalog.model("anthropic:claude-sonnet").spec.provider == "anthropic", "the name is another provider's here"


@pytest.mark.parametrize(
    "backend",
    [
        "openai:gpt-5-2025-08-07",
        "anthropic:claude-haiku-4-5-20251001",
        "azure-openai:gpt-5",
        "vertex:claude-haiku-4-5@20251001",
        "bedrock:anthropic.claude-opus-4-8-v1:0",
    ],
)
def test_dated_and_clouded_ids_are_known(backend: str) -> None:
    assert not Catalog().assumed(backend)


def test_a_model_that_nobody_described_is_assumed_to_be_modest() -> None:
    catalog = Catalog()

    assert catalog.assumed("openai:gpt-99")
    assert catalog.model("openai:gpt-99").worst_case_micro_usd(1, 1) is None
    assert "vision" not in catalog.model("openai:gpt-99").capabilities
    assert catalog.model("ollama:some:7b").spec.model == "some:7b"


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [
        ("opnai:gpt-5", "unknown provider 'opnai'; did you mean 'openai'?"),
        ("gpt-5", "'gpt-5' is no backend: write provider:name, for example openai:gpt-5-mini"),
        ("openai:", "'openai:' is no backend"),
        ("openai:a b", "'openai:a b' is no backend"),
    ],
)
def test_a_malformed_backend_is_an_error_that_helps(backend: str, sentence: str) -> None:
    with pytest.raises(InvalidArgument, match=sentence.replace("?", r"\?")):
        Catalog().model(backend)


def test_a_route_that_is_not_there_names_the_nearest_or_its_namespace() -> None:
    route = route_of("openai:gpt-5", name="research-default").document()
    here = Catalog(load({"r": json.dumps(route)}))
    elsewhere = Catalog(load({"r": json.dumps(route)}, namespace="research"))

    with pytest.raises(NotFound, match="did you mean 'research-default'"):
        here.route("reserch-default")
    assert elsewhere.find(ModelRoute, "research-default") is None
    with pytest.raises(NotFound, match="stands in namespace 'research', not in 'default'"):
        elsewhere.route("research-default")
    with pytest.raises(NotFound, match="no ModelRoute is called 'nothing'"):
        Catalog().route("nothing")


def test_a_route_of_backends_needs_no_file() -> None:
    assert route_of("openai:gpt-5-mini").candidates == ("openai:gpt-5-mini",)
    assert route_of(["openai:a", "anthropic:b"]).candidates == ("openai:a", "anthropic:b")
    assert route_of("ollama:qwen3:8b").name == "ollama:qwen3:8b"
    for wrong in ([], ["openai:a", "openai:a"], "nothing", "opnai:x"):
        with pytest.raises(InvalidArgument):
            route_of(wrong)


def test_the_hash_changes_with_the_resources_and_with_nothing_else() -> None:
    one, two = Catalog(load({"m": MINE})), Catalog(tuple(reversed(load({"m": MINE}))))

    assert one.hash == two.hash
    assert one.hash != Catalog().hash


def test_the_built_in_catalog_says_where_it_comes_from_and_its_hash_fits() -> None:
    table = builtin.table()
    text = json.dumps(table["models"], sort_keys=True, separators=(",", ":"))

    assert table["header"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert table["header"]["date"] > "2026"
    assert all("==" in source for source in table["header"]["sources"])


def test_every_built_in_model_is_a_valid_model_with_a_window() -> None:
    models = Catalog().models()

    schema = jsonschema.Draft202012Validator(json_schema("Model"))
    assert len(models) > 60
    for model in models:
        assert model.input_window
        assert model.target().can("text")
        schema.validate(model.document())
    assert {model.spec.provider for model in Catalog().models("ollama")} == {"ollama"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_schema_with_camel_case_names_and_a_sentence_for_each(kind: str) -> None:
    schema = json_schema(kind)

    jsonschema.Draft202012Validator.check_schema(schema)
    for group in (schema, *schema["$defs"].values()):
        for name, field in group.get("properties", {}).items():
            assert "_" not in name
            assert field.get("description") or field.get("$ref") or field.get("items"), name


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("modelroute", "ModelRoute"), ("ModelRoutes", "ModelRoute"), ("route", "ModelRoute"), ("policies", "Policy"),
        ("model-route", "ModelRoute"), ("statecheckpoint", "StateCheckpoint"), ("TOOLCALLS", "ToolCall"),
    ],
)  # fmt: skip
def test_a_kind_is_found_in_any_case_and_number(word: str, kind: str) -> None:
    assert kind_named(word) == kind
    assert kind_class(kind).__name__ == kind


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(InvalidArgument, match="unknown kind 'modelrout'; did you mean 'ModelRoute'"):
        kind_named("modelrout")


def test_the_users_models_come_first_in_the_list() -> None:
    own = Catalog(load({"m": MINE})).models()

    assert own[0].backend == "bedrock:claude-sonnet"
    assert [model.backend for model in own].count("openai:gpt-5-thinking") == 1


def test_the_front_door_reads_no_catalog() -> None:
    code = "import joch_core, sys; assert not {'pydantic', 'yaml', 'joch_core.resources.builtin'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_list_of_abilities_is_complete_for_a_model_that_only_the_user_knows() -> None:
    text = MINE.split("---")[1].replace("gpt-5.5", "my-own").replace("provider: openai", "provider: openai-compatible")
    model = Catalog(load({"m": text.replace("vision: false", "vision: true")})).model("openai-compatible:gpt-5-thinking")

    assert model.capabilities == {"text", "vision"}


def test_a_model_of_the_user_needs_only_provider_and_id() -> None:
    assert isinstance(Catalog(load({"m": MINE})).all(Model)[0], Model)
