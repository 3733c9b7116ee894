"""`ChatOpenAI` becomes `JochChatModel`: the same agent, and its provider may fail.

Runs offline: the providers are the local double. Take the `with Simulator()` away, set real keys, and it runs on them.
"""

import os
import tempfile

from langchain.agents import create_agent
from langchain_joch import JochChatModel

from joch_core.testing import Simulator


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {city}."


def main() -> None:
    with Simulator() as providers, tempfile.TemporaryDirectory() as home:
        os.environ.update(providers.env(), JOCH_HOME=home)
        providers.script([{"tool_calls": [{"name": "get_weather", "args": {"city": "Bonn"}}]}], provider="openai")
        providers.fail("openai", status=503, from_turn=2)  # it dies between the tool call and the answer

        model = JochChatModel(model="openai:gpt-5-mini", fallbacks=["anthropic:claude-sonnet"])
        agent = create_agent(model, tools=[get_weather])
        state = agent.invoke({"messages": [{"role": "user", "content": "What is the weather in Bonn?"}]})

        answer = state["messages"][-1]
        facts = answer.response_metadata["joch"]
        print(answer.text)
        print("answered by", facts["backend"], "- switched from", facts["switched_from"], "because of", facts["reason"])


main()
