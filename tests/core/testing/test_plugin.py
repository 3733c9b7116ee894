"""The fixtures that a user's tests get."""

import os

import openai

from joch_core import Message
from joch_core.testing.plugin import joch, joch_simulator  # noqa: F401  fixtures

USER = [{"role": "user", "content": "hi"}]


def test_the_environment_points_to_a_simulator_of_its_own(joch_simulator):  # noqa: F811
    client = openai.OpenAI(base_url=os.environ["JOCH_PROVIDER_OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
    assert client.chat.completions.create(model="gpt-4o", messages=USER).choices
    assert len(joch_simulator.calls("openai")) == 1


def test_an_agent_can_be_tested_through_a_failover(joch, joch_simulator):  # noqa: F811
    joch_simulator.script(["Hello from the other side."], provider="anthropic")
    joch_simulator.fail("openai", status=503)
    reply = joch.call(["openai:gpt-5-mini", "anthropic:claude-sonnet"], [Message.user("hi")])
    assert (reply.text, reply.backend) == ("Hello from the other side.", "anthropic:claude-sonnet")
    assert {call.status for call in joch_simulator.calls("openai")} == {503}
    assert [call.status for call in joch_simulator.calls("anthropic")] == [200]


def test_the_store_is_in_a_temporary_folder(joch, tmp_path):  # noqa: F811
    joch.call("openai:gpt-5-mini", [Message.user("hi")])
    assert (tmp_path / "joch.db").is_file()
    assert os.environ["JOCH_HOME"].startswith(str(tmp_path))
