"""Documents that have lost their indentation, and the rule that gives it back."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from joch_core.errors import InvalidResource
from joch_core.resources.documents import load
from joch_core.resources.flat import restore
from joch_core.resources.route import ModelRoute

FLAT = """\
# a comment stays
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata:
name: research-default
labels:
team: research
spec:
description: >
Default route: for research.
It prefers OpenAI.

requirements:
toolCalling: true
strategy:
primary: openai:gpt-5-thinking
fallback:
- anthropic:claude-sonnet
- google:gemini-pro
failover:
onError: true
constraints:
maxCostUsdPerCall: 1
status:
phase: Ready
fallbackHealth:
anthropic:claude-sonnet: Healthy
"""

INDENTED = """\
# a comment stays
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata:
  name: research-default
  labels:
    team: research
spec:
  description: >
    Default route: for research.
    It prefers OpenAI.

  requirements:
    toolCalling: true
  strategy:
    primary: openai:gpt-5-thinking
    fallback:
      - anthropic:claude-sonnet
      - google:gemini-pro
    failover:
      onError: true
  constraints:
    maxCostUsdPerCall: 1
status:
  phase: Ready
  fallbackHealth:
  anthropic:claude-sonnet: Healthy
"""

POLICY = """\
apiVersion: joch.dev/v1alpha1
kind: Policy
metadata:
name: p
spec:
rules:
- when:
region: us
action:
deny: true
reason: stay here
- when: {}
require:
approval: human
"""


def corpus() -> Path:
    folder = Path(os.environ.get("JOCH_CORPUS") or Path(__file__).resolve().parents[3].parent / "shared")
    if not (folder / "spec").is_dir():
        pytest.skip("the texts of the specification are not on this machine (JOCH_CORPUS)")
    return folder / "spec"


def blocks(text: str) -> list[str]:
    """The YAML of a page that was copied as text: from `apiVersion` to the first line that cannot be YAML's."""
    found: list[list[str]] = []
    inside = folded = False
    for line in text.split("\n"):
        field = re.match(r"^[A-Za-z][\w.:-]*:( |$)", line)
        if line.startswith("apiVersion:"):
            found.append([])
            inside = True
        elif not (field or line.startswith("- ") or folded):
            inside = False
        if inside:
            found[-1].append(line)
            folded = line.endswith(": >") or (folded and not field)
    return ["\n".join(lines) for lines in found]


def test_every_line_goes_to_its_place_and_none_moves() -> None:
    assert restore(FLAT) == INDENTED


def test_elements_of_a_list_that_are_groups_keep_their_fields() -> None:
    (policy,) = load({"p": POLICY})

    first, second = policy.document()["spec"]["rules"]
    assert first == {"when": {"region": "us"}, "action": {"deny": True, "reason": "stay here"}}
    assert second == {"when": {}, "require": {"approval": "human"}}


def test_what_has_its_indentation_is_left_as_it_is() -> None:
    for text in (INDENTED, "kind: Nonsense\nspec:\nstrategy:\n", "spec:\n", "kind: ModelRoute\nspec: {}\n", ""):
        assert restore(text) == text


def test_a_document_that_lost_only_a_part_is_not_guessed_at() -> None:
    text = "apiVersion: joch.dev/v1alpha1\nkind: ModelRoute\nmetadata:\n  name: x\nspec:\nstrategy:\n  primary: openai:a\n"

    with pytest.raises(InvalidResource, match=r"f:6: strategy: stands beside `spec`; it belongs under it"):
        load({"f": text})


def test_faults_of_a_flat_document_have_the_lines_of_the_file() -> None:
    with pytest.raises(InvalidResource, match=r"f:16: spec.strategy.primry: unknown field; did you mean 'primary'\?"):
        load({"f": FLAT.replace("primary", "primry")})


@pytest.mark.corpus
def test_every_document_of_the_specification_loads_as_it_is_written() -> None:
    texts = [block for name in sorted(corpus().glob("*.txt")) for block in blocks(name.read_text("utf-8"))]
    resources = [resource for text in texts for resource in load({"spec": text})]

    assert sorted(resource.kind for resource in resources) == ["ModelRoute", "ModelRoute", "StateCheckpoint"]
    routes = [resource for resource in resources if isinstance(resource, ModelRoute)]
    for route in routes:
        assert route.name == "research-default"
        assert route.candidates == ("openai:gpt-5-thinking", "anthropic:claude-sonnet", "google:gemini-pro")
        assert route.spec.requirements.context_window_min == 200_000
        assert route.spec.constraints.data_residency == "EU"
        assert route.spec.constraints.max_cost_usd_per_execution == 5
    full = next(route for route in routes if route.spec.description)
    assert full.namespace == "research"
    assert full.spec.description.startswith("Default model route for research and analysis agents. Prefers OpenAI")
    assert full.spec.constraints.max_cost_usd_per_call == 1
    (checkpoint,) = [resource.document() for resource in resources if resource.kind == "StateCheckpoint"]
    assert checkpoint["metadata"]["name"] == "chk-456"
    assert checkpoint["spec"]["summary"]["decisions"] == ["Five competitors in scope", "Excluded SDK-only entrants"]
    assert checkpoint["spec"]["summary"]["relevantMemoryRefs"] == ["mem://research/competitor-notes"]
