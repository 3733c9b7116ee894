"""The LLM as a component of LlamaIndex: events, callbacks, rate limits, dicts, pickles, copies."""

import asyncio
import copy
import json
import pickle
import threading

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.joch import JochLLM
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from joch_core import Joch

HELLO = [ChatMessage("hello")]


class Film(BaseModel):
    name: str


@pytest.fixture
def announced():
    """The names of the events that LlamaIndex's root dispatcher gets."""
    names = []

    class Handler(BaseEventHandler):
        def handle(self, event, **kwargs):
            names.append(event.class_name())

    root, handler = get_dispatcher(), Handler()
    root.add_event_handler(handler)
    yield names
    root.event_handlers.remove(handler)


async def ways(llm):
    """Each way to ask, once."""
    prompt = PromptTemplate("a film")
    yield "LLMChat", lambda: llm.chat(HELLO)
    yield "LLMChat", lambda: list(llm.stream_chat(HELLO))
    yield "LLMCompletion", lambda: llm.complete("hello")
    yield "LLMCompletion", lambda: list(llm.stream_complete("hello"))
    yield "LLMChat", lambda: llm.structured_predict(Film, prompt)
    yield "LLMChat", lambda: list(llm.stream_structured_predict(Film, prompt))


async def test_each_call_is_announced_once(make, announced):
    async for kind, way in ways(make()):
        announced.clear()
        way()
        starts = [name for name in announced if name in ("LLMChatStartEvent", "LLMCompletionStartEvent")]
        ends = [name for name in announced if name in ("LLMChatEndEvent", "LLMCompletionEndEvent")]
        assert (starts, ends) == ([f"{kind}StartEvent"], [f"{kind}EndEvent"])


async def test_each_asynchronous_call_is_announced_once(make, announced):
    llm = make()

    await llm.achat(HELLO)
    [chunk async for chunk in await llm.astream_chat(HELLO)]
    await llm.acomplete("hello")
    [chunk async for chunk in await llm.astream_complete("hello")]
    await llm.astructured_predict(Film, PromptTemplate("a film"))

    assert announced.count("LLMChatStartEvent") == announced.count("LLMChatEndEvent") == 3
    assert announced.count("LLMCompletionStartEvent") == announced.count("LLMCompletionEndEvent") == 2
    assert announced.count("LLMStructuredPredictStartEvent") == announced.count("LLMStructuredPredictEndEvent") == 1


def test_a_failover_is_one_call_to_the_host(make, simulator, announced):
    simulator.fail("openai", status=503)

    make().chat(HELLO)

    assert announced.count("LLMChatStartEvent") == 1


def test_tokens_are_counted_by_the_handler_of_llamaindex(make):
    counter = TokenCountingHandler()
    llm = make(callback_manager=CallbackManager([counter]))

    whole = llm.chat(HELLO)
    list(llm.stream_chat(HELLO))

    assert counter.prompt_llm_token_count == 2 * whole.raw["usage"]["prompt_tokens"]
    assert counter.completion_llm_token_count == 2 * whole.raw["usage"]["completion_tokens"]


def test_a_rate_limiter_is_asked_once_per_call(make, simulator):
    class Limiter:
        asked = 0

        def acquire(self):
            self.asked += 1

    simulator.fail("openai", status=503)
    limiter = Limiter()

    make(rate_limiter=limiter).chat(HELLO)

    assert limiter.asked == 1


def test_an_llm_is_written_down_and_read_again_without_a_secret(simulator, tmp_path):
    store = f"sqlite:///{tmp_path / 'own.db'}"
    llm = JochLLM(
        model="openai:gpt-5-mini", fallbacks=["anthropic:claude-sonnet"], temperature=0.5, conversation="c", store=store
    )
    llm.chat(HELLO)

    text = json.dumps(llm.to_dict())
    again = JochLLM.from_dict(json.loads(text))

    assert simulator.env()["OPENAI_API_KEY"] not in text
    assert (again.model, again.fallbacks, again.temperature, again.conversation) == (
        "openai:gpt-5-mini", ["anthropic:claude-sonnet"], 0.5, "c",
    )  # fmt: skip
    assert "You said" in again.chat([ChatMessage("what do you know about hello")]).message.content
    assert json.loads(text)["class_name"] == "joch_llm"


def test_a_route_as_an_object_finds_itself_again(joch):
    route = joch.route(["openai:gpt-5-mini", "anthropic:claude-sonnet"])
    named = route.model_copy(update={"metadata": route.metadata.model_copy(update={"name": "research"})})

    for one, name in ((route, "openai:gpt-5-mini, anthropic:claude-sonnet"), (named, "research")):
        again = JochLLM.from_dict(json.loads(json.dumps(JochLLM(route=one, joch=joch).to_dict())))
        facts = again.chat(HELLO).raw["joch"]
        assert (facts["backend"], facts["route"]) == ("openai:gpt-5-mini", name)


def test_an_llm_on_an_open_joch_finds_its_store_again(simulator, tmp_path):
    with Joch(store=f"sqlite:///{tmp_path / 'own.db'}", namespace="team") as joch:
        JochLLM(model="openai:gpt-5-mini", conversation="c", joch=joch).chat(HELLO)
        again = JochLLM.from_dict(JochLLM(model="openai:gpt-5-mini", conversation="c", joch=joch).to_dict())
    again.chat([ChatMessage("again")])

    with Joch(store=f"sqlite:///{tmp_path / 'own.db'}", namespace="team") as joch:
        assert [message.role for message in joch.conversation("c").messages()] == ["user", "assistant"] * 2


def test_a_password_of_a_store_is_never_written_down():
    from llama_index.llms.joch.settings import without_password

    assert without_password("postgresql://anna:secret@host/db") is None
    assert without_password("postgresql://host/db?user=anna&password=secret") is None
    assert without_password("postgresql://anna@host/db") == "postgresql://anna@host/db"
    assert without_password("sqlite:////tmp/joch.db") == "sqlite:////tmp/joch.db"


@pytest.mark.parametrize(
    "again", [lambda llm: pickle.loads(pickle.dumps(llm)), copy.deepcopy, copy.copy, lambda llm: llm.model_copy()]
)
def test_an_llm_is_pickled_and_copied(make, again):
    llm = make(conversation="c", temperature=1)
    llm.chat(HELLO)

    twin = again(llm)

    assert llm.chat(HELLO)
    assert (twin.conversation, twin.temperature, twin.metadata) == ("c", 1, llm.metadata)
    assert twin.chat([ChatMessage("more")]).message.content == "You said: more"


def test_nothing_secret_is_in_what_tracers_see(make, simulator):
    llm = make(store=None)
    llm.chat(HELLO)

    shown = json.dumps(llm.to_payload())

    assert json.loads(shown)["model"] == "openai:gpt-5-mini, anthropic:claude-sonnet"
    for text in (shown, repr(llm), str(llm)):
        assert simulator.env()["OPENAI_API_KEY"] not in text


def test_one_llm_serves_threads_and_loops(make):
    llm, said = make(), []

    def talk(number):
        said.append(llm.chat([ChatMessage(f"t{number}")]).message.content)
        said.append(asyncio.run(llm.achat([ChatMessage(f"l{number}")])).message.content)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(said) == sorted(f"You said: {kind}{number}" for kind in "tl" for number in range(4))


async def test_many_calls_at_once(make):
    llm = make()

    answers = await asyncio.gather(*(llm.achat([ChatMessage(f"n{number}")]) for number in range(10)))

    assert [answer.message.content for answer in answers] == [f"You said: n{number}" for number in range(10)]


def test_it_may_be_the_llm_of_all_settings(make):
    before = Settings._llm
    try:
        Settings.llm = make()
        assert Settings.llm.predict(PromptTemplate("hello {name}"), name="anna") == "You said: hello anna"
    finally:
        Settings._llm = before


def test_prompts_are_predicted_and_streamed(make):
    llm = make()
    assert llm.predict(PromptTemplate("hello {name}"), name="anna") == "You said: hello anna"
    assert "".join(llm.stream(PromptTemplate("hello {name}"), name="anna")) == "You said: hello anna"


def test_the_namespace_of_llamaindex_is_left_open():
    import llama_index
    import llama_index.llms

    assert getattr(llama_index, "__file__", None) is None
    assert getattr(llama_index.llms, "__file__", None) is None
