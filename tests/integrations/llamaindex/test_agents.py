import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from pydantic import BaseModel

from joch_core.testing.script import Turn, Wanted

SAY = 'call create_ticket {"subject": "printer"}'
DONE = "create_ticket returned: ticket 1 for printer"
STEPS = 'call lookup {"subject": "printer"} then call create_ticket {"subject": "printer"}'
TWO = 'call create_ticket {"subject": "printer"} and call lookup {"subject": "printer"}'


async def events_of(handler, kind):
    return [event async for event in handler.stream_events() if isinstance(event, kind)]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
async def test_an_agent_uses_its_tools_on_every_wire(llm, tickets, streaming):
    agent = FunctionAgent(tools=[tickets.create_ticket], llm=llm, system_prompt="be brief", streaming=streaming)

    output = await agent.run(SAY)

    assert output.response.content == DONE
    assert tickets == ["printer"]


async def test_an_agent_takes_several_steps(make, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket, tickets.lookup], llm=make())

    output = await agent.run(STEPS)

    assert [call.tool_name for call in output.tool_calls] == ["lookup", "create_ticket"]
    assert output.response.content == DONE


async def test_an_agent_calls_tools_in_parallel(llm, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket, tickets.lookup], llm=llm)

    output = await agent.run(TWO)

    assert sorted(call.tool_name for call in output.tool_calls) == ["create_ticket", "lookup"]
    assert len({call.tool_id for call in output.tool_calls}) == 2
    assert "ticket 1 for printer" in output.response.content
    assert "tickets for printer" in output.response.content


async def test_an_agent_may_forbid_parallel_calls(make, simulator, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket, tickets.lookup], llm=make(), allow_parallel_tool_calls=False)

    await agent.run(TWO)

    assert [call.body.get("parallel_tool_calls") for call in simulator.calls("openai")] == [False] * 3


async def test_an_agent_streams_its_text_and_its_calls(llm, tickets):
    handler = FunctionAgent(tools=[tickets.create_ticket], llm=llm).run(SAY)

    streamed = await events_of(handler, AgentStream)
    await handler

    assert "".join(event.delta for event in streamed) == DONE
    assert streamed[-1].response == DONE
    assert next(call.tool_kwargs for event in streamed for call in event.tool_calls) == {"subject": "printer"}
    assert streamed[-1].raw["joch"]["backend"]


async def test_an_agent_that_loses_its_provider_between_two_steps_finishes_on_the_other(make, simulator, tickets):
    simulator.fail("openai", status=503, from_turn=2)
    handler = FunctionAgent(tools=[tickets.create_ticket], llm=make()).run(SAY)

    backends = [event.raw["joch"]["backend"] for event in await events_of(handler, AgentStream)]
    output = await handler

    assert output.response.content == DONE
    assert tickets == ["printer"]
    assert backends[0] == "openai:gpt-5-mini"
    assert backends[-1] == "anthropic:claude-sonnet"


@pytest.mark.parametrize(
    "fault", [{"stream": "disconnect", "after": 0}, {"stream": "truncate", "after": 1}, {"stream": "empty"}]
)
async def test_an_agent_step_whose_stream_never_begins_goes_over(make, simulator, tickets, fault):
    simulator.fail("openai", **fault)

    output = await FunctionAgent(tools=[tickets.create_ticket], llm=make()).run(SAY)

    assert output.response.content == DONE
    assert tickets == ["printer"]


async def test_an_agent_forces_its_first_tool(make, simulator, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket, tickets.lookup], llm=make(), initial_tool_choice="lookup")

    output = await agent.run("the printer is broken")

    assert output.tool_calls[0].tool_name == "lookup"


async def test_an_agent_without_tools_just_talks(make):
    assert (await FunctionAgent(llm=make()).run("hello")).response.content == "You said: hello"


async def test_a_tool_that_fails_is_told_to_the_model(make, tickets):
    tickets.crash = ValueError("no paper")

    output = await FunctionAgent(tools=[tickets.create_ticket], llm=make()).run(SAY)

    assert output.response.content == "create_ticket returned: no paper"


async def test_a_tool_that_wants_the_context_gets_it(make):
    async def note(ctx: Context, text: str) -> str:
        """Write it down."""
        await ctx.store.set("note", text)
        return "noted"

    agent = FunctionAgent(tools=[note], llm=make())
    ctx = Context(agent)

    await agent.run('call note {"text": "milk"}', ctx=ctx)

    assert await ctx.store.get("note") == "milk"


async def test_an_agent_remembers_across_runs_and_json(llm, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket], llm=llm)
    memory = ChatMemoryBuffer.from_defaults()

    await agent.run(SAY, memory=memory)
    kept = [message.model_dump_json() for message in memory.get_all()]
    again = ChatMemoryBuffer.from_defaults(chat_history=[ChatMessage.model_validate_json(text) for text in kept])
    output = await agent.run("what do you know about printer", memory=again)

    assert "ticket 1 for printer" in output.response.content


async def test_an_agent_gives_an_object_at_the_end(make, tickets):
    class Ticket(BaseModel):
        subject: str
        number: int

    agent = FunctionAgent(tools=[tickets.create_ticket], llm=make(), output_cls=Ticket)

    output = await agent.run(SAY)

    assert isinstance(output.get_pydantic_model(Ticket), Ticket)


async def test_a_react_agent_works_on_text(make, simulator, tickets):
    simulator.script(
        [
            'Thought: I need a tool.\nAction: create_ticket\nAction Input: {"subject": "printer"}',
            "Thought: I can answer without using any more tools.\nAnswer: It is ticket 1.",
        ]
    )
    output = await ReActAgent(tools=[FunctionTool.from_defaults(fn=tickets.create_ticket)], llm=make()).run("help")

    assert output.response.content == "It is ticket 1."
    assert tickets == ["printer"]


async def test_one_agent_hands_over_to_another_on_another_provider(make, simulator, tickets):
    simulator.script(
        [Turn(tool_calls=(Wanted("handoff", {"to_agent": "clerk", "reason": "a ticket is wanted"}),))], provider="openai"
    )
    simulator.script([Turn(tool_calls=(Wanted("create_ticket", {"subject": "printer"}),))], provider="anthropic")
    first = FunctionAgent(
        name="desk", description="front desk", llm=make(), can_handoff_to=["clerk"], tools=[tickets.lookup]
    )
    clerk = FunctionAgent(
        name="clerk",
        description="writes tickets",
        llm=make("anthropic:claude-sonnet", "openai:gpt-5-mini"),
        tools=[tickets.create_ticket],
    )

    output = await AgentWorkflow(agents=[first, clerk], root_agent="desk").run(user_msg=SAY)

    assert output.current_agent_name == "clerk"
    assert tickets == ["printer"]
    assert "ticket 1 for printer" in output.response.content
    assert simulator.calls("anthropic")
    assert all(call.error is None for call in simulator.journal)


async def test_a_conversation_goes_from_agent_to_agent_over_three_providers(make, simulator, tickets):
    history = []
    for backend in ("openai:gpt-5-mini", "anthropic:claude-sonnet", "google:gemini-pro", "openai:gpt-4o-mini"):
        agent = FunctionAgent(tools=[tickets.create_ticket], llm=make(backend, "anthropic:claude-haiku"))
        memory = ChatMemoryBuffer.from_defaults(chat_history=history)
        await agent.run('call create_ticket {{"subject": "{}"}}'.format(backend.partition(":")[2]), memory=memory)
        history = memory.get_all()

    assert list(tickets) == ["gpt-5-mini", "claude-sonnet", "gemini-pro", "gpt-4o-mini"]
    assert all(call.error is None for call in simulator.journal)
    assert [message.role.value for message in history] == ["user", "assistant", "tool", "assistant"] * 4


def test_a_chat_engine_talks(make):
    engine = SimpleChatEngine.from_defaults(llm=make(), system_prompt="be brief")

    assert engine.chat("hello").response == "You said: hello"
    assert "".join(engine.stream_chat("what do you know about hello").response_gen)


def test_a_tool_is_predicted_and_called(llm, tickets):
    tools = [FunctionTool.from_defaults(fn=tickets.create_ticket)]

    response = llm.predict_and_call(tools, SAY)

    assert response.response == "ticket 1 for printer"
    assert tickets == ["printer"]


async def test_a_tool_is_predicted_and_called_without_holding_the_loop(make, tickets):
    llm = make()
    tools = [FunctionTool.from_defaults(fn=tickets.create_ticket), FunctionTool.from_defaults(fn=tickets.lookup)]

    response = await llm.apredict_and_call(tools, TWO, allow_parallel_tool_calls=True)

    assert sorted(output.tool_name for output in response.sources) == ["create_ticket", "lookup"]


def test_a_tool_is_required(make, simulator, tickets):
    tools = [FunctionTool.from_defaults(fn=tickets.create_ticket), FunctionTool.from_defaults(fn=tickets.lookup)]
    llm = make("openai:gpt-4o-mini", "anthropic:claude-haiku")

    response = llm.chat_with_tools(tools, "nothing in particular", tool_required=True)
    simulator.fail("openai", status=503)
    elsewhere = llm.chat_with_tools(tools, "nothing in particular", tool_required=True)

    assert simulator.calls("openai")[0].body["tool_choice"] == "required"
    assert simulator.calls("anthropic")[0].body["tool_choice"]["type"] == "any"
    for one in (response, elsewhere):
        assert len(llm.get_tool_calls_from_response(one)) == 1


def test_a_tool_choice_is_understood_in_every_spelling(make, simulator, tickets):
    tools = [FunctionTool.from_defaults(fn=tickets.create_ticket), FunctionTool.from_defaults(fn=tickets.lookup)]
    spellings = ("lookup", {"type": "function", "function": {"name": "lookup"}}, {"type": "tool", "name": "lookup"})

    for choice in spellings:
        response = make().chat_with_tools(tools, "look", tool_choice=choice)
        assert [call.tool_name for call in make().get_tool_calls_from_response(response)] == ["lookup"]
    assert make().chat_with_tools(tools, SAY, tool_choice="none").message.content == f"You said: {SAY}"


def test_the_question_may_be_a_message_and_the_history_is_left_alone(make, tickets):
    tools, history = [FunctionTool.from_defaults(fn=tickets.create_ticket)], [ChatMessage("hi")]

    response = make().chat_with_tools(tools, ChatMessage(SAY), chat_history=history)

    assert make().get_tool_calls_from_response(response)[0].tool_kwargs == {"subject": "printer"}
    assert history == [ChatMessage("hi")]


def test_one_call_is_kept_where_one_was_allowed(make, simulator, tickets):
    simulator.script([Turn(tool_calls=(Wanted("lookup", {"subject": "a"}), Wanted("lookup", {"subject": "b"})))])
    llm, tools = make(), [FunctionTool.from_defaults(fn=tickets.lookup)]

    response = llm.predict_and_call(tools, "look", allow_parallel_tool_calls=False)

    assert response.response == "0 tickets for a"


def test_no_call_is_an_error_only_where_one_is_expected(make):
    llm = make()
    response = llm.chat([ChatMessage("hello")])

    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="tool call"):
        llm.get_tool_calls_from_response(response)


def test_a_call_without_id_or_with_text_for_arguments_is_read(make):
    blocks = [
        ToolCallBlock(tool_name="lookup", tool_kwargs='{"subject": "a"}'),
        ToolCallBlock(tool_name="lookup", tool_kwargs='{"subject": "a"}'),
        ToolCallBlock(tool_name="lookup", tool_kwargs='{"subj'),
    ]
    found = make().get_tool_calls_from_response(ChatResponse(message=ChatMessage(role="assistant", blocks=blocks)))

    assert [call.tool_kwargs for call in found[:2]] == [{"subject": "a"}] * 2
    assert len({call.tool_id for call in found}) == 3
    assert found[2].tool_kwargs == {"invalid_json": '{"subj'}


async def test_results_of_tools_reach_the_model_in_order(make, tickets):
    handler = FunctionAgent(tools=[tickets.lookup], llm=make()).run(
        'call lookup {"subject": "a"} and call lookup {"subject": "b"} and call lookup {"subject": "c"}'
    )

    results = await events_of(handler, ToolCallResult)
    output = await handler

    assert len(results) == 3
    assert output.response.content == "\n".join(f"lookup returned: 0 tickets for {name}" for name in "abc")
