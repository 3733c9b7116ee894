"""The operator moves a conversation: check first, then switch; the agent goes on where it was."""

import os
import tempfile

from joch_core import Joch, Message
from joch_core.testing import Simulator


def main() -> None:
    with Simulator() as providers, tempfile.TemporaryDirectory() as home:
        os.environ.update(providers.env(), JOCH_HOME=home)
        with Joch() as joch:
            route = ["openai:gpt-5-mini", "anthropic:claude-sonnet"]
            joch.call(route, [Message.user("Goal: map the market for agent tools")], conversation="conv-99")
            joch.conversation("conv-99").decide("Five competitors in scope")

            for line in joch.check_switch(conversation="conv-99", to="anthropic:claude-sonnet").lines:
                print({"ok": "✓", "warn": "⚠", "fail": "✗"}[line.level], line.text)
            checkpoint = joch.switch(conversation="conv-99", to="anthropic:claude-sonnet")
            print("checkpoint", checkpoint.metadata.name, "decisions", checkpoint.spec.summary.decisions)

            reply = joch.call(route, [Message.user("Go on.")], conversation="conv-99")
            print("now on", reply.backend)


main()
