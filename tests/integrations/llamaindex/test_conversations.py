from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage
from langchain_joch import JochChatModel
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.joch import chat_history, to_joch
from pydantic import BaseModel

from joch_core import InvalidArgument, Message, RouteExhausted, ToolSpec

SAY = 'call create_ticket {"subject": "printer"}'
DONE = "create_ticket returned: ticket 1 for printer"


def log(joch, name="c"):
    return [(message.role, message.text) for message in joch.conversation(name).messages()]


def told(call):
    """The texts of a recorded request, as one."""
    return str(call.body)


@pytest.mark.parametrize("backend", ["openai:gpt-4o-mini", "anthropic:claude-sonnet", "google:gemini-pro"])
def test_a_conversation_that_began_with_a_bare_call_goes_on_in_llamaindex(make, joch, backend):
    joch.call("openai:gpt-5-mini", [Message.system("be brief"), Message.user("my cat is called Minka")], conversation="c")
    llm = make(backend, "anthropic:claude-haiku", conversation="c")

    response = llm.chat([ChatMessage("what do you know about Minka")])

    assert "my cat is called Minka" in response.message.content
    assert response.raw["joch"]["conversation"] == "c"
    assert response.raw["joch"]["backend"] == backend
    assert [role for role, _ in log(joch)] == ["system", "user", "assistant", "user", "assistant"]


def test_a_conversation_that_began_in_langchain_goes_on_in_llamaindex(make, joch):
    model = JochChatModel(model="openai:gpt-5-mini", conversation="c", joch=joch)
    model.invoke([HumanMessage("my cat is called Minka")])

    response = (
        make("anthropic:claude-sonnet", "openai:gpt-4o-mini").bind("c").chat([ChatMessage("what do you know about Minka")])
    )

    assert "my cat is called Minka" in response.message.content
    back = model.invoke([HumanMessage("what do you know about Minka")])
    assert "my cat is called Minka" in str(back.content)


def test_tools_of_the_core_have_their_results_in_llamaindex(make, joch, simulator):
    tool = ToolSpec("create_ticket", "Open a ticket.", {"type": "object", "properties": {"subject": {"type": "string"}}})
    reply = joch.call("openai:gpt-5-mini", [Message.user(SAY)], tools=[tool], conversation="c")
    joch.call("openai:gpt-5-mini", [Message.tool(reply.tool_calls[0].id, "ticket 7")], tools=[tool], conversation="c")

    response = (
        make("anthropic:claude-sonnet", "openai:gpt-4o-mini")
        .bind("c")
        .chat([ChatMessage("what do you know about ticket 7")])
    )

    assert "ticket 7" in response.message.content
    assert all(call.error is None for call in simulator.journal)


def test_a_bound_llm_may_be_given_the_whole_history_or_only_what_is_new(make, joch, simulator):
    llm = make(conversation="c")
    first = llm.chat([ChatMessage("one")])
    second = llm.chat([ChatMessage("one"), first.message, ChatMessage("two")])
    third = llm.chat([ChatMessage("three")])
    llm.chat([second.message, ChatMessage("three"), third.message, ChatMessage("four")])

    assert [text for role, text in log(joch) if role == "user"] == ["one", "two", "three", "four"]
    last = told(simulator.calls("openai")[-1])
    assert all(last.count(f"You said: {word}") == 1 for word in ("one", "two"))


def test_a_turn_is_sent_once_when_a_failed_call_is_made_again(make, joch, simulator):
    llm = make(conversation="c")
    simulator.fail(status=503, times=20)
    with pytest.raises(RouteExhausted):
        llm.chat([ChatMessage("hello")])
    simulator.recover()

    llm = make(conversation="c")
    llm.chat([ChatMessage("hello")])

    assert log(joch) == [("user", "hello"), ("assistant", "You said: hello")]


def test_an_unbound_llm_keeps_nothing(make, joch):
    make().chat([ChatMessage("hello")])

    assert joch.conversation("c").messages() == ()


def test_two_bound_twins_do_not_mix(make, joch):
    llm = make()
    anna, bert = llm.bind(conversation="anna"), llm.bind(conversation="bert")

    anna.chat([ChatMessage("my cat is called Minka")])
    bert.chat([ChatMessage("hello")])

    assert llm.conversation is None
    assert "Minka" not in bert.chat([ChatMessage("what do you know about cats called M")]).message.content
    assert [role for role, _ in log(joch, "anna")] == ["user", "assistant"]


async def test_an_agent_of_a_bound_llm_keeps_each_turn_once(make, joch, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c"), system_prompt="be brief")
    memory = ChatMemoryBuffer.from_defaults()

    await agent.run(SAY, memory=memory)
    await agent.run("thanks", memory=memory)

    assert log(joch) == [
        ("system", "be brief"),
        ("user", SAY),
        ("assistant", ""),
        ("tool", "ticket 1 for printer"),
        ("assistant", DONE),
        ("user", "thanks"),
        ("assistant", "You said: thanks"),
    ]
    assert "HistoryRewritten" not in [event.type for event in joch.conversation("c").events()]


async def test_a_new_agent_without_memory_knows_what_was_said(make, joch, tickets):
    await FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c")).run(SAY)

    agent = FunctionAgent(
        tools=[tickets.create_ticket], llm=make("anthropic:claude-sonnet", "openai:gpt-5-mini", conversation="c")
    )
    output = await agent.run('call create_ticket {"subject": "screen"} then what do you know about printer')

    assert list(tickets) == ["printer", "screen"]
    assert output.response.content
    assert [text for role, text in log(joch) if role == "tool"] == ["ticket 1 for printer", "ticket 2 for screen"]


async def test_an_agent_switches_its_provider_inside_a_run_and_the_log_says_so(make, joch, simulator, tickets):
    simulator.fail("openai", status=503, from_turn=2)

    output = await FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c")).run(SAY)

    facts = output.raw["joch"]
    assert output.response.content == DONE
    assert facts["switched_from"] == "openai:gpt-5-mini"
    assert facts["checkpoint"]
    switch = next(event for event in joch.conversation("c").events() if event.type == "ProviderSwitched")
    assert switch.payload["toProvider"] == "anthropic:claude-sonnet"
    assert tickets == ["printer"]
    assert all(call.error is None for call in simulator.journal)


async def test_a_run_is_one_execution(make, tickets):
    output = []
    agent = FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c"))
    for text in (SAY, "thanks"):
        handler = agent.run(text)
        output.append(
            {event.raw["joch"].get("execution") async for event in handler.stream_events() if getattr(event, "raw", None)}
        )
        await handler

    first, second = ({name for name in names if name} for names in output)
    assert len(first) == len(second) == 1
    assert first != second


async def test_an_object_at_the_end_of_a_run_is_no_turn_of_the_conversation(make, joch, tickets):
    class Ticket(BaseModel):
        subject: str

    agent = FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c"), output_cls=Ticket)

    output = await agent.run(SAY)

    assert isinstance(output.get_pydantic_model(Ticket), Ticket)
    assert log(joch) == [("user", SAY), ("assistant", ""), ("tool", "ticket 1 for printer"), ("assistant", DONE)]


async def test_a_react_agent_of_a_bound_llm_keeps_each_turn_once(make, joch, simulator, tickets):
    simulator.script(
        [
            'Thought: I need a tool.\nAction: create_ticket\nAction Input: {"subject": "printer"}',
            "Thought: I can answer without using any more tools.\nAnswer: It is ticket 1.",
        ]
    )

    await ReActAgent(tools=[tickets.create_ticket], llm=make(conversation="c"), streaming=False).run("help")

    texts = [text for role, text in log(joch) if role != "system"]
    assert len([text for text in texts if text == "help"]) == 1
    assert len([text for text in texts if "Observation: ticket 1" in text]) == 1


async def test_a_react_agent_loses_its_provider_and_goes_on(make, joch, simulator, tickets):
    action = 'Thought: I need a tool.\nAction: create_ticket\nAction Input: {"subject": "printer"}'
    simulator.script([action], provider="openai")
    simulator.script(["Thought: I can answer without using any more tools.\nAnswer: It is ticket 1."], provider="anthropic")
    simulator.fail("openai", status=503, from_turn=2)

    output = await ReActAgent(tools=[tickets.create_ticket], llm=make(conversation="c")).run("help")

    assert output.response.content == "It is ticket 1."
    assert tickets == ["printer"]
    asked = told(simulator.calls("anthropic")[-1])
    assert "Observation: ticket 1 for printer" in asked
    assert [text for role, text in log(joch) if role == "user"] == ["help"]
    assert to_joch(chat_history("c", joch=joch)) == list(joch.conversation("c").messages())


def test_an_empty_list_asks_the_model_to_go_on(make, joch, simulator):
    llm = make(conversation="c")
    joch.call("openai:gpt-5-mini", [Message.user("hello")], conversation="c")

    simulator.script(["and more"])

    assert llm.chat([]).message.content == "and more"
    with pytest.raises(InvalidArgument):
        make().chat([])


async def test_a_run_that_failed_is_started_again_and_goes_on_where_it_was(make, joch, simulator, tickets):
    simulator.fail(status=503, from_turn=2)
    with pytest.raises(Exception, match="openai:gpt-5-mini"):
        await FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c")).run(SAY)
    simulator.recover()

    output = await FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c")).run(SAY)

    assert output.response.content == DONE
    assert tickets == ["printer"]
    assert log(joch) == [("user", SAY), ("assistant", ""), ("tool", "ticket 1 for printer"), ("assistant", DONE)]


def test_several_system_messages_all_hold(make, joch, simulator):
    llm = make(conversation="c", system_prompt="never mention prices")

    llm.chat(
        [ChatMessage(role="system", content="be brief"), ChatMessage(role="developer", content="be kind"), ChatMessage("hi")]
    )

    assert log(joch)[0] == ("system", "be brief\n\nbe kind")
    assert "be brief" in told(simulator.calls("openai")[-1])
    assert "be kind" in told(simulator.calls("openai")[-1])


def test_the_prompt_of_the_operator_stays_with_the_conversation(make, simulator):
    llm = make(conversation="c")
    llm.chat([ChatMessage(role="system", content="be brief"), ChatMessage("hi")])

    llm.bind("c").chat([ChatMessage("and now")])

    assert told(simulator.calls("openai")[-1]).count("be brief") == 1


def test_a_structured_question_is_a_turn_of_a_bound_conversation(make, joch):
    class Film(BaseModel):
        name: str

    make(conversation="c").structured_predict(Film, PromptTemplate("a film about {subject}"), subject="cats")

    assert log(joch) == [("user", "a film about cats"), ("assistant", '{"name": "name"}')]


def test_the_history_of_a_conversation_comes_as_chat_messages(make, joch, tickets):
    llm = make(conversation="c")
    llm.chat([ChatMessage(role="system", content="be brief"), ChatMessage("hi")])

    history = chat_history("c", joch=joch)

    assert [(message.role.value, message.content) for message in history] == [
        ("system", "be brief"),
        ("user", "hi"),
        ("assistant", "You said: hi"),
    ]
    assert chat_history("c") == history  # the default store of this test is the same
    assert chat_history("nobody", joch=joch) == []


async def test_a_history_given_to_an_agent_is_recognised(make, joch, tickets):
    agent = FunctionAgent(tools=[tickets.create_ticket], llm=make(conversation="c"))
    await agent.run(SAY)

    await agent.run("thanks", chat_history=chat_history("c", joch=joch))

    assert [role for role, _ in log(joch)] == ["user", "assistant", "tool", "assistant", "user", "assistant"]


def test_a_history_moves_into_another_conversation(make, joch, simulator):
    make(conversation="c").chat([ChatMessage("my cat is called Minka")])

    llm = make("google:gemini-pro", "openai:gpt-5-mini", conversation="d")
    response = llm.chat([*chat_history("c", joch=joch), ChatMessage("what do you know about Minka")])

    assert "my cat is called Minka" in response.message.content
    assert len(log(joch, "d")) == 4


def test_a_call_may_name_its_own_conversation(make, joch):
    make().chat([ChatMessage("hi")], conversation="c")

    assert log(joch) == [("user", "hi"), ("assistant", "You said: hi")]


def test_binding_takes_options_of_the_constructor_only(make):
    bound = make().bind("c", temperature=0.5)

    assert (bound.conversation, bound.temperature) == ("c", 0.5)
    with pytest.raises(InvalidArgument, match="temprature"):
        make().bind("c", temprature=0.5)
