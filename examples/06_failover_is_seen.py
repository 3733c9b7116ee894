"""Where a LangChain application sees that its provider was changed: an event in the stream, and the traced run.

Runs offline: the providers are the local double.
"""

import asyncio
import os
import tempfile

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.context import collect_runs
from langchain_joch import JochChatModel

from joch_core.testing import Simulator


async def ask(chain) -> None:
    async for event in chain.astream_events({"topic": "the moon"}):
        if event["event"] == "on_custom_event":
            facts = event["data"]
            print(event["name"], "from", facts["switched_from"], "to", facts["backend"], "because of", facts["reason"])


def main() -> None:
    with Simulator() as providers, tempfile.TemporaryDirectory() as home:
        os.environ.update(providers.env(), JOCH_HOME=home)
        providers.fail("openai", status=503)

        model = JochChatModel(model="openai:gpt-5-mini", fallbacks=["anthropic:claude-sonnet"])
        chain = ChatPromptTemplate.from_messages([("human", "Tell me about {topic}.")]) | model
        with collect_runs() as collected:
            asyncio.run(ask(chain))

        (run,) = collected.traced_runs
        asked = next(child for child in run.child_runs if child.run_type == "llm")
        print(
            "traced as",
            asked.extra["metadata"]["ls_provider"],
            "after",
            asked.extra["metadata"]["joch_attempts"],
            "requests",
        )


main()
