"""A route with EU residency and a budget: nobody is eligible until a Model with an EU endpoint exists."""

import os
import tempfile
from pathlib import Path

from joch_core import BudgetExceeded, Joch, NoEligibleCandidate
from joch_core.testing import Simulator

ROUTE = """
apiVersion: joch.dev/v1alpha1
kind: ModelRoute
metadata: {name: research-eu}
spec:
  strategy:
    primary: openai:gpt-5-mini
    fallback: [anthropic:eu-sonnet]
  constraints: {dataResidency: EU, maxCostUsdPerCall: 1}
"""
MODEL = """
---
apiVersion: joch.dev/v1alpha1
kind: Model
metadata: {name: eu-sonnet}
spec:
  provider: anthropic
  model: claude-sonnet-5-5
  routing: {regions: [eu]}
"""


def main() -> None:
    with Simulator() as providers, tempfile.TemporaryDirectory() as folder:
        os.environ.update(providers.env(), JOCH_HOME=folder)
        resources = Path(folder) / "resources.yaml"

        resources.write_text(ROUTE.replace("    fallback: [anthropic:eu-sonnet]\n", ""))
        with Joch(resources=resources) as joch:
            try:
                joch.call("research-eu", "hello")
            except NoEligibleCandidate as error:
                print("refused:", error.message)

        resources.write_text(ROUTE + MODEL)
        with Joch(resources=resources) as joch:
            reply = joch.call("research-eu", "hello")
            print(
                "answered by",
                reply.backend,
                "for",
                reply.cost_usd,
                "USD; requests outside the EU:",
                len(providers.calls("openai")),
            )

        resources.write_text((ROUTE + MODEL).replace("maxCostUsdPerCall: 1", "maxCostUsdPerCall: 0.000001"))
        with Joch(resources=resources) as joch:
            try:
                joch.call("research-eu", "hello")
            except BudgetExceeded as error:
                print("refused:", error.message)


main()
