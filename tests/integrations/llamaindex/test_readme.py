"""The blocks of the README, in order, in one session."""

import re
from pathlib import Path

from llama_index.llms.joch import chat_history

README = Path(__file__).resolve().parents[3] / "integrations" / "llamaindex" / "README.md"


def test_the_readme_runs(simulator, joch, tickets):
    session = {"lookup": tickets.lookup, "create_ticket": tickets.create_ticket}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

    for block in blocks:
        exec(block, session)

    assert len(blocks) >= 3
    assert session["answer"].raw["joch"]["backend"] == "openai:gpt-5-mini"
    assert chat_history("conv-99", joch=joch) == []
