"""YAML to resources: what loads, and what is said about what does not."""

from __future__ import annotations

import pytest

from joch_core.errors import InvalidResource
from joch_core.resources.catalog import Catalog
from joch_core.resources.documents import from_json, load
from joch_core.resources.model import Model
from joch_core.resources.route import ModelRoute

ROUTE = """\
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata:
  name: research-default
  namespace: research
spec:
  description: >
    Default model route for research and analysis agents.
    Prefers OpenAI gpt-5-thinking, falls back to Claude Sonnet, then Gemini Pro.
  requirements:
    toolCalling: true
    contextWindowMin: 200000
    structuredOutput: true
    streaming: true
  strategy:
    primary: openai:gpt-5-thinking
    fallback:
    - anthropic:claude-sonnet
    - google:gemini-pro
  failover:
    onError: true
    onHealthDegraded: false
  constraints:
    maxCostUsdPerExecution: 5
    dataResidency: EU
status:
  phase: Ready
  anythingAtAll: {is: ignored}
"""

CHECKPOINT = """\
apiVersion: joch.dev/v1alpha1
kind: StateCheckpoint
metadata: { name: chk-456 }
spec:
  conversationRef: { name: conv-99 }
  fromBackend: openai:gpt-5-thinking
  toBackend: anthropic:claude-sonnet
  summary:
    userGoal: "Analyze competitive landscape for agent ops tools"
    decisions:
    - "Five competitors in scope"
  activeArtifacts:
  - artifact://research/landscape-draft.md
  relevantMemoryRefs:
  - mem://research/competitor-notes
"""


def faults(text: str, file: str = "routes.yaml") -> list[str]:
    with pytest.raises(InvalidResource) as caught:
        load({file: text})
    return [str(problem) for problem in caught.value.problems]


def head(kind: str, name: str = "x") -> str:
    return f"apiVersion: joch.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n"


def test_a_route_loads_with_its_candidates_in_order_and_failover_moved_under_strategy() -> None:
    (route,) = load({"r": ROUTE})

    assert isinstance(route, ModelRoute)
    assert route.candidates == ("openai:gpt-5-thinking", "anthropic:claude-sonnet", "google:gemini-pro")
    assert route.spec.strategy.failover.on_health_degraded is False
    assert route.spec.strategy.failover.on_budget_exceeded is True
    assert route.spec.strategy.failover.on_auth_error is False
    assert route.spec.requirements.demanded == ("toolCalling", "structuredOutput", "streaming")
    assert route.namespace == "research"
    assert "failover" in route.document()["spec"]["strategy"]
    assert "status" not in route.document()


def test_lists_beside_the_summary_of_a_checkpoint_go_into_it() -> None:
    (checkpoint,) = load({"c": CHECKPOINT})

    summary = checkpoint.document()["spec"]["summary"]
    assert summary["activeArtifacts"] == ["artifact://research/landscape-draft.md"]
    assert summary["relevantMemoryRefs"] == ["mem://research/competitor-notes"]


def test_what_was_written_is_what_a_store_gives_back() -> None:
    resources = load({"r": ROUTE, "c": CHECKPOINT.replace("{ name: chk-456 }", "{ name: chk-456, labels: {a: b} }")})

    assert from_json(resource.document() for resource in resources) == resources


def test_a_typo_names_file_line_and_the_nearest_field() -> None:
    text = ROUTE.replace("toolCalling", "toolCaling")

    assert faults(text) == ["routes.yaml:11: spec.requirements.toolCaling: unknown field; did you mean 'toolCalling'?"]


def test_all_faults_of_a_file_come_at_once_in_plain_words() -> None:
    text = """\
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata: {name: x, lables: {a: b}}
spec:
  requirements:
    contextWindowMin: lots
    streaming: yes
  strategy:
    primary: opnai:gpt-5
    fallback: [nocolon]
    failback: nevr
  constraints: {maxCostUsdPerCall: -1}
  timeouts: 5
---
apiVersion: v1
kind: ModelRout
"""

    assert faults(text) == [
        "routes.yaml:3: metadata.lables: unknown field; did you mean 'labels'?",
        "routes.yaml:6: spec.requirements.contextWindowMin: must be a whole number, not 'lots'",
        "routes.yaml:7: spec.requirements.streaming: must be true or false, not 'yes'",
        "routes.yaml:9: spec.strategy.primary: unknown provider 'opnai'; did you mean 'openai'?",
        "routes.yaml:10: spec.strategy.fallback: 'nocolon' is no backend: write provider:name, for example openai:gpt-5-mini",
        "routes.yaml:11: spec.strategy.failback: must be next_execution, never or immediate, not 'nevr'; did you mean 'never'?",
        "routes.yaml:12: spec.constraints.maxCostUsdPerCall: must be at least 0, not -1",
        "routes.yaml:13: spec.timeouts: must be a group of fields, not 5",
        "routes.yaml:16: kind: unknown kind 'ModelRout'; did you mean 'ModelRoute'?",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (head("ModelRoute") + "spec: {}\n", "f:4: spec.strategy: is missing"),
        (head("ModelRoute"), "f:1: spec: is missing"),
        ("just words\n", "f:1: is no resource: a document has apiVersion, kind, metadata and spec"),
        ("kind: Model\nmetadata: {name: x}\nspec: {provider: openai, model: m}\n", "f:1: apiVersion: is missing"),
        (
            "apiVersion: v1\nkind: Model\nmetadata: {name: x}\nspec: {provider: openai, model: m}\n",
            "f:1: apiVersion: must be 'joch.dev/v1alpha1', not 'v1'",
        ),
        (
            head("Model") + "spec:\n  provider: opena\n  model: m\n",
            "f:5: spec.provider: unknown provider 'opena'; did you mean 'openai'?",
        ),
        (head("Model") + "spec:\n  provider: openai\n  model: 5\n", "f:6: spec.model: must be text, not 5"),
        (
            head("Model") + "spec:\n  provider: openai\n  model: m\n  capabilities: {toolcalling: true}\n",
            "f:7: spec.capabilities.toolcalling: unknown field; did you mean 'toolCalling'?",
        ),
        (
            head("Model") + "spec:\n  provider: vllm\n  model: m\n  dialect: mistrl\n",
            "f:7: spec.dialect: unknown dialect 'mistrl'; did you mean 'mistral'?",
        ),
        (
            head("Model") + "spec:\n  provider: vllm\n  model: m\n  dialect: {imageUrl: true}\n",
            "f:7: spec.dialect: unknown habit 'imageUrl'; did you mean 'imageUrls'?",
        ),
        (
            head("Model") + "spec:\n  provider: openai\n  model: m\n  auth: {secretRef: {name: KEY}}\n",
            "f:7: spec.auth.secretRef: no Secret is called 'KEY'; no Secret is known here",
        ),
        (
            head("Execution") + "spec: {modelRouteOverride: {name: fast}, conversationRef: {name: new}}\n",
            "f:4: spec.modelRouteOverride: no ModelRoute is called 'fast'; no ModelRoute is known here",
        ),
        (
            head("ModelRoute") + "spec: {strategy: {primary: openai:a, fallback: [openai:a]}}\n",
            "f:4: spec.strategy: 'openai:a' stands there twice",
        ),
        (
            "apiVersion: joch.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: x}\nstrategy: {primary: openai:a}\nspec: {}\n",
            "f:4: strategy: stands beside `spec`; it belongs under it",
        ),
        (head("Tool") + "spec: {sideEffects: {level: financal}}\n", "not 'financal'; did you mean 'financial'?"),
        (head("Secret") + "spec: {source: {type: env, name: 'not a name'}}\n", "'not a name' is not a valid name"),
        (head("Secret") + "spec: {source: {name: A}, value: sk-1}\n", "f:4: spec.value: unknown field"),
        (head("Policy") + "spec: {rules: [{when: {}}]}\n", "f:4: spec.rules[0]: needs either `action` or `require`"),
        (
            head("Policy") + "spec: {rules: [{action: dny}]}\n",
            "f:4: spec.rules[0].action: must be deny or redact, not 'dny'",
        ),
        (
            head("Policy") + "spec: {rules: [{when: {data.contains: '['}, action: deny}]}\n",
            "must be pii, secret or a regular expression",
        ),
        (head("Budget") + "spec: {limits: {dailyUsd: true}}\n", "f:4: spec.limits.dailyUsd: must be a number, not true"),
    ],
)
def test_a_fault_is_one_plain_sentence(text: str, sentence: str) -> None:
    found = faults(text, "f")

    assert any(sentence in one for one in found), found
    assert not any(word in " ".join(found) for word in ("pydantic", "type=", "Input should"))


def test_references_may_stand_in_the_same_files_or_in_the_catalog() -> None:
    secret = head("Secret", "KEY") + "spec: {source: {type: env, name: OPENAI_API_KEY}}\n"
    model = head("Model", "m") + "spec: {provider: openai, model: gpt-5, auth: {secretRef: {name: KEY}}}\n"

    assert len(load({"a": model, "b": secret})) == 2
    assert len(load({"a": model}, catalog=Catalog(load({"b": secret})))) == 1


def test_a_summarizer_may_be_named_as_a_backend() -> None:
    spec = "spec: {summarization: {enabled: true, summarizerModelRef: {name: anthropic:claude-haiku}}}\n"

    assert load({"c": head("Conversation") + spec})


def test_the_same_resource_twice_is_a_fault() -> None:
    model = head("Model", "m") + "spec: {provider: openai, model: gpt-5}\n"

    assert faults(f"{model}---\n{model}", "f") == ["f:8: metadata.name: Model 'm' stands already in f:3"]


def test_grouped_api_versions_are_the_same_thing() -> None:
    for group in ("model", "runtime", "tools", "ops"):
        text = head("Model").replace("joch.dev", f"{group}.joch.dev") + "spec: {provider: openai, model: m}\n"
        (model,) = load({"f": text})
        assert model.api_version == "joch.dev/v1alpha1"


def test_what_names_no_namespace_belongs_to_the_one_of_the_command() -> None:
    text = head("Model", "a") + "spec: {provider: openai, model: m}\n"

    assert [one.namespace for one in load({"f": text}, namespace="research")] == ["research"]
    assert [one.namespace for one in load({"f": ROUTE}, namespace="other")] == ["research"]


def test_a_list_of_documents_and_json_load_as_well() -> None:
    (model,) = load({"f": head("Model") + "spec: {provider: openai, model: m}\n"})
    import json

    assert load({"f": json.dumps([model.document()])}) == (model,)
    assert load({"f": json.dumps({"apiVersion": "v1", "kind": "List", "items": [model.document()]})}) == (model,)


def test_an_empty_field_is_a_field_left_out() -> None:
    (model,) = load({"f": head("Model") + "spec:\n  provider: openai\n  model: m\n  routing:\n  limits:\n"})

    assert isinstance(model, Model)


def test_policies_take_every_short_form_of_an_action() -> None:
    actions = ("deny", "{deny: true, reason: no}", "{deny: no}", "{deny: {reason: no}}", "redact", "{redact: true}")
    rules = "\n".join(f"  - when: {{}}\n    action: {action}" for action in actions)
    (policy,) = load({"f": head("Policy") + f"spec:\n  rules:\n{rules}\n"})

    rules = policy.document()["spec"]["rules"]
    assert [rule["action"].get("deny", False) for rule in rules] == [True, True, True, True, False, False]
    assert [rule["action"].get("reason") for rule in rules] == [None, "no", "no", "no", None, None]


def test_a_condition_may_be_nested_dotted_or_an_expression() -> None:
    spec = """\
spec:
  rules:
  - when: {migration: {failures: ">0"}, region: [us, eu], stream: false}
    action: deny
  - when: "request.tokens > 5"
    require: {approval: human}
"""
    (policy,) = load({"f": head("Policy") + spec})

    rules = policy.spec.rules
    assert rules[0].when == {"migration.failures": ">0", "region": ("us", "eu"), "stream": False}
    assert rules[1].when == "request.tokens > 5"
