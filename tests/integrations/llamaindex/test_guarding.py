import json
import subprocess
import sys

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.tools import FunctionTool, QueryEngineTool, ToolOutput
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from llama_index.llms.joch import joch_tools
from pydantic import BaseModel

import joch_core
from joch_core import InvalidArgument, NotExecuted, OutcomeUnknown
from joch_core.testing.script import Turn, Wanted

SAY = 'call create_ticket {"subject": "printer"}'
DECLARED = {"create_ticket": {"effect": "external_write"}}


@pytest.fixture
def guarded(joch, tickets):
    """`create_ticket` with a declared effect, run by the ledger of conversation `c`."""
    return joch_tools([tickets.create_ticket], conversation="c", declared=DECLARED, joch=joch)


async def test_an_agent_with_guarded_tools_works_on_every_wire(llm, joch, tickets):
    tools = joch_tools([tickets.create_ticket], conversation="c", joch=joch)

    output = await FunctionAgent(tools=tools, llm=llm.bind("c")).run(SAY)

    assert output.response.content == "create_ticket returned: ticket 1 for printer"
    assert tickets == ["printer"]
    assert [call["status"]["phase"] for call in joch.calls()] == ["Succeeded"]


async def test_a_call_that_a_new_provider_makes_again_is_not_repeated(make, joch, simulator, tickets, guarded):
    # The first provider calls the tool; the second one, which takes over in mid-run, calls it again.
    simulator.script([Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),)), "done"], provider="anthropic")
    simulator.fail("openai", status=503, from_turn=2)

    output = await FunctionAgent(tools=guarded, llm=make(conversation="c")).run(SAY)

    assert tickets == ["printer"]
    assert output.response.content == "done"
    results = [message.text for message in joch.conversation("c").messages() if message.role == "tool"]
    assert results[0] == "ticket 1 for printer"
    assert "already done" in results[1]
    assert "ticket 1 for printer" in results[1]


async def test_a_run_that_is_started_again_after_a_failure_repeats_no_effect(make, simulator, tickets, guarded):
    simulator.fail(status=503, from_turn=2)
    with pytest.raises(Exception, match="openai:gpt-5-mini"):
        await FunctionAgent(tools=guarded, llm=make(conversation="c")).run(SAY)
    simulator.recover()

    await FunctionAgent(tools=guarded, llm=make(conversation="c")).run(SAY)

    assert tickets == ["printer"]


async def test_a_user_who_asks_again_gets_a_second_ticket(make, tickets, guarded):
    agent = FunctionAgent(tools=guarded, llm=make(conversation="c"))

    await agent.run(SAY)
    await agent.run(SAY + " again")

    assert tickets == ["printer", "printer"]


async def test_two_equal_calls_of_one_turn_are_two(make, simulator, tickets, guarded):
    await FunctionAgent(tools=guarded, llm=make(conversation="c")).run(f"{SAY} and {SAY}")

    assert tickets == ["printer", "printer"]


async def test_an_undeclared_tool_may_poll(make, joch, simulator, tickets):
    tools = joch_tools([tickets.create_ticket], conversation="c", joch=joch)
    wanted = Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),))
    simulator.script([wanted, wanted, "done"])

    await FunctionAgent(tools=tools, llm=make(conversation="c")).run("poll")

    assert tickets == ["printer", "printer"]


async def test_a_tool_that_failed_in_the_middle_is_in_doubt_and_the_model_is_told(make, joch, simulator, tickets, guarded):
    wanted = Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),))
    simulator.script([wanted, wanted, "I do not know."])
    tickets.crash = TimeoutError("no answer")

    output = await FunctionAgent(tools=guarded, llm=make(conversation="c")).run("help")

    first, second = (call.tool_output for call in output.tool_calls) if output.tool_calls else (None, None)
    assert tickets == ["printer"]
    assert first.content == "no answer"
    assert "outcome of this call is unknown" in second.content.lower()
    assert second.is_error
    assert isinstance(second.exception, OutcomeUnknown)
    assert [call["status"]["phase"] for call in joch.calls(in_doubt=True)] == ["Unknown"]


async def test_a_tool_that_did_nothing_may_be_called_again(make, simulator, tickets, guarded):
    wanted = Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),))
    simulator.script([wanted, wanted, "done"])
    tickets.crash = NotExecuted("no connection")
    agent = FunctionAgent(tools=guarded, llm=make(conversation="c"))

    await agent.run("help")

    assert len(tickets) == 2


async def test_arguments_that_do_not_fit_leave_no_doubt(make, joch, simulator, tickets, guarded):
    simulator.script(
        [
            Turn(tool_calls=(Wanted("create_ticket", {"topic": "printer"}),)),
            Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),)),
            "done",
        ]
    )

    await FunctionAgent(tools=guarded, llm=make(conversation="c")).run("help")

    assert tickets == ["printer"]
    assert joch.calls(in_doubt=True) == []


def test_a_declaration_on_the_function_counts(joch):
    sent = []

    @joch_core.tool(effect="external_write", repeat="once_per_conversation")
    def pay(amount: int) -> str:
        """Pay."""
        sent.append(amount)
        return "paid"

    (tool,) = joch_tools([pay], conversation="c", joch=joch)

    assert tool.call(amount=3).raw_output == "paid"
    again = tool(amount=3)
    assert again.raw_output == "paid"
    assert "already done" in again.content
    assert sent == [3]
    assert pay(4) == "paid"


async def test_the_key_reaches_the_tool_and_never_the_model(joch, make, simulator):
    keys = []

    @joch_core.tool(effect="external_write")
    def pay(amount: int, joch_key: str | None = None) -> str:
        """Pay."""
        keys.append((joch_key, joch_core.current_key()))
        return "paid"

    tools = joch_tools([pay], conversation="c", joch=joch)
    await FunctionAgent(tools=tools, llm=make(conversation="c")).run('call pay {"amount": 3}')

    assert keys[0][0] == keys[0][1] == joch.calls()[0]["metadata"]["name"]
    assert "joch_key" not in json.dumps(simulator.calls("openai")[0].body)


async def test_a_reading_tool_is_run_each_time(joch, tickets):
    tool = joch_tools([tickets.create_ticket], conversation="c", declared={"create_ticket": "read"}, joch=joch)[0]

    for _ in range(3):
        await tool.acall(subject="a")

    assert len(tickets) == 3


def test_a_tool_keeps_its_face(joch, tickets):
    inner = FunctionTool.from_defaults(fn=tickets.create_ticket, return_direct=True)

    (tool,) = joch_tools([inner], conversation="c", joch=joch)

    assert isinstance(tool, FunctionTool)
    assert tool.metadata == inner.metadata
    assert type(inner) is FunctionTool
    with pytest.raises(InvalidArgument, match="guarded already"):
        joch_tools([tool], conversation="c", joch=joch)


async def test_a_tool_that_wants_the_context_is_guarded_without_it(joch, make, simulator):
    notes = []

    async def note(ctx: Context, text: str) -> str:
        """Write it down."""
        notes.append(text)
        await ctx.store.set("note", text)
        return "noted"

    wanted = Turn(tool_calls=(Wanted("note", {"text": "milk"}),))
    simulator.script([wanted, wanted, "done"])
    tools = joch_tools([note], conversation="c", declared={"note": {"effect": "local_write"}}, joch=joch)

    await FunctionAgent(tools=tools, llm=make(conversation="c")).run("help")

    assert notes == ["milk"]


async def test_a_tool_that_waits_for_a_person_goes_on_where_it_waited(joch, make):
    wiped = []

    async def wipe(ctx: Context, disk: str) -> str:
        """Wipe a disk."""
        said = await ctx.wait_for_event(HumanResponseEvent, waiter_id=disk, waiter_event=InputRequiredEvent(prefix="sure?"))
        wiped.append(disk)
        return f"wiped: {said.response}"

    tools = joch_tools([wipe], conversation="c", declared={"wipe": {"effect": "external_write"}}, joch=joch)
    handler = FunctionAgent(tools=tools, llm=make(conversation="c")).run('call wipe {"disk": "sda"}')
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            handler.ctx.send_event(HumanResponseEvent(response="yes"))
    output = await handler

    assert wiped == ["sda"]
    assert output.response.content == "wipe returned: wiped: yes"


async def test_rich_outputs_survive_the_ledger(joch):
    class Found(BaseModel):
        number: int

    def picture(name: str) -> ImageBlock:
        """Draw."""
        return ImageBlock(url="https://example.com/a.png")

    def find(name: str) -> Found:
        """Find."""
        return Found(number=3)

    declared = {"picture": {"effect": "local_write"}, "find": {"effect": "local_write"}}
    drawn, found = joch_tools([picture, find], conversation="c", declared=declared, joch=joch)

    first, second = await drawn.acall(name="a"), await drawn.acall(name="a")
    assert str(first.blocks[0].url) == str(second.blocks[-1].url) == "https://example.com/a.png"
    assert found.call(name="a").raw_output == Found(number=3)
    assert found.call(name="a").raw_output == {"number": 3}


async def test_an_output_that_says_it_failed_is_in_doubt(joch):
    def fail(name: str) -> str:
        """Fail."""
        return "x"

    inner = FunctionTool.from_defaults(
        fn=fail,
        callback=lambda _: ToolOutput(tool_name="fail", content="broken", raw_input={}, raw_output=None, is_error=True),
    )
    (tool,) = joch_tools([inner], conversation="c", declared={"fail": {"effect": "external_write"}}, joch=joch)

    assert tool.call(name="a").content == "broken"
    with pytest.raises(OutcomeUnknown, match="joch calls resolve"):
        tool.call(name="a")


async def test_a_tool_of_another_kind_is_guarded_too(joch):
    from llama_index.core.query_engine import CustomQueryEngine

    class Engine(CustomQueryEngine):
        asked: list[str]

        def custom_query(self, query_str: str) -> str:
            self.asked.append(query_str)
            return "found"

    engine = Engine(asked=[])
    inner = QueryEngineTool.from_defaults(engine, name="search", description="Search.")
    (tool,) = joch_tools([inner], conversation="c", declared={"search": {"effect": "external_write"}}, joch=joch)

    assert (await tool.acall("cats")).content == "found"
    assert "already done" in tool.call(input="cats").content
    assert engine.asked == ["cats"]


async def test_a_guarded_tool_is_predicted_and_called(make, tickets, guarded):
    llm = make(conversation="c")

    assert llm.predict_and_call(guarded, SAY).response == "ticket 1 for printer"
    assert (await llm.apredict_and_call(guarded, SAY + " once more")).response == "ticket 2 for printer"


async def test_a_react_agent_with_guarded_tools_repeats_nothing(make, simulator, tickets, guarded):
    action = 'Thought: I need a tool.\nAction: create_ticket\nAction Input: {"subject": "printer"}'
    simulator.script([action, action, "Thought: I can answer without using any more tools.\nAnswer: done"])

    output = await ReActAgent(tools=guarded, llm=make(conversation="c")).run("help")

    assert output.response.content == "done"
    assert tickets == ["printer"]


async def test_a_react_agent_may_poll_with_a_tool_that_says_nothing(make, joch, simulator, tickets):
    action = 'Thought: I need a tool.\nAction: create_ticket\nAction Input: {"subject": "printer"}'
    simulator.script([action, action, "Thought: I can answer without using any more tools.\nAnswer: done"])
    tools = joch_tools([tickets.create_ticket], conversation="c", joch=joch)

    await ReActAgent(tools=tools, llm=make(conversation="c")).run("poll")

    assert tickets == ["printer", "printer"]


async def test_agents_of_a_workflow_share_the_ledger(make, simulator, tickets, guarded):
    wanted = Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),))
    handoff = Turn(tool_calls=(Wanted("handoff", {"to_agent": "clerk", "reason": "x"}),))
    simulator.script([wanted, handoff], provider="openai")
    simulator.script([wanted, "done"], provider="anthropic")
    desk = FunctionAgent(name="desk", description="d", llm=make(conversation="c"), tools=guarded, can_handoff_to=["clerk"])
    other = make("anthropic:claude-sonnet", "openai:gpt-5-mini", conversation="c")
    clerk = FunctionAgent(name="clerk", description="c", llm=other, tools=guarded)

    output = await AgentWorkflow(agents=[desk, clerk], root_agent="desk").run(user_msg="help")

    assert output.response.content == "done"
    assert tickets == ["printer"]


def test_a_conversation_in_which_nobody_speaks_is_warned_of_once(joch, tickets, guarded, caplog):
    guarded[0].call(subject="a")
    guarded[0].call(subject="b")

    assert [record.message for record in caplog.records if "bind the LLM" in record.message][1:] == []
    assert "bind the LLM" in caplog.text


def test_tools_need_a_conversation_and_an_effect_that_exists(joch, tickets):
    for given in ({"conversation": ""}, {"conversation": "c", "declared": {"create_ticket": "explosive"}}):
        with pytest.raises(InvalidArgument):
            joch_tools([tickets.create_ticket], joch=joch, **given)
    with pytest.raises(InvalidArgument, match="no tool"):
        joch_tools([3], conversation="c", joch=joch)


CRASHING = """
import asyncio, os, sys
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.joch import JochLLM, joch_tools

def create_ticket(subject: str) -> str:
    "Open a ticket."
    with open(sys.argv[1], "a") as file:
        file.write("ticket\\n")
    if sys.argv[2] == "crash":
        os._exit(9)
    return "ticket for " + subject

async def main():
    tools = joch_tools([create_ticket], conversation="c", declared={"create_ticket": {"effect": "external_write"}})
    agent = FunctionAgent(tools=tools, llm=JochLLM(route="openai:gpt-5-mini", conversation="c"))
    output = await agent.run('call create_ticket {"subject": "printer"}')
    print(output.response.content)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_crash_in_the_tool_is_never_repeated_by_a_new_process(simulator, joch, tmp_path):
    world = tmp_path / "world"
    ran = [
        subprocess.run([sys.executable, "-c", CRASHING, str(world), how], capture_output=True, text=True, check=False)
        for how in ("crash", "again")
    ]

    assert [one.returncode for one in ran] == [9, 0], ran[1].stderr
    assert world.read_text() == "ticket\n"
    # The run goes on with the turn that it began; the model is told that nobody knows what became of the call.
    assert "may not have run" in ran[1].stdout
    assert [message.role for message in joch.conversation("c").messages()].count("user") == 1
