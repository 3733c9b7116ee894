import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field


class Actor(BaseModel):
    name: str


class Film(BaseModel):
    """A film."""

    name: str
    year: int
    cast: list[Actor] = Field(default_factory=list)


PROMPT = PromptTemplate("a film about {subject}")
WHOLE = '{"name": "Casablanca", "year": 1942, "cast": [{"name": "Bogart"}, {"name": "Bergman"}]}'
CASABLANCA = Film(name="Casablanca", year=1942, cast=[Actor(name="Bogart"), Actor(name="Bergman")])


def told(simulator):
    """The texts of all recorded requests."""
    return [str(call.body) for call in simulator.journal if call.status == 200]


def test_an_object_is_predicted_on_every_wire(llm):
    assert isinstance(llm.structured_predict(Film, PROMPT, subject="war"), Film)


async def test_an_object_is_predicted_without_holding_the_loop(llm):
    assert isinstance(await llm.astructured_predict(Film, PROMPT, subject="war"), Film)


def test_an_object_grows_in_a_stream(llm):
    grown = list(llm.stream_structured_predict(Film, PROMPT, subject="war"))

    assert isinstance(grown[-1], Film)
    assert all(one.name for one in grown)


async def test_an_object_grows_in_an_asynchronous_stream(llm):
    grown = [one async for one in await llm.astream_structured_predict(Film, PROMPT, subject="war")]

    assert isinstance(grown[-1], Film)
    assert all(one.name for one in grown)


@pytest.mark.parametrize("model", ["openai:gpt-5-mini", "openai:gpt-4o-mini", "anthropic:claude-haiku", "google:gemini-pro"])
def test_a_stream_shows_what_is_known_and_ends_with_the_whole(make, simulator, model):
    simulator.script([WHOLE])

    grown = list(make(model).stream_structured_predict(Film, PROMPT, subject="war"))

    assert grown[-1] == CASABLANCA
    assert len(grown) > 2
    assert [one.name for one in grown] == sorted(one.name for one in grown)


@pytest.mark.parametrize("model", ["openai:gpt-4o-mini", "openai:gpt-5-mini", "google:gemini-pro"])
def test_a_forced_tool_gives_the_object_where_that_is_asked_for(make, simulator, model):
    llm = make(model, pydantic_program_mode=PydanticProgramMode.FUNCTION)

    assert isinstance(llm.structured_predict(Film, PROMPT, subject="war"), Film)
    assert isinstance(list(llm.stream_structured_predict(Film, PROMPT, subject="war"))[-1], Film)
    assert "Film" in str(simulator.journal[0].body.get("tools"))


def test_a_model_that_cannot_be_forced_gives_the_object_all_the_same(make):
    llm = make("anthropic:claude-sonnet", "openai:gpt-5-mini", pydantic_program_mode=PydanticProgramMode.FUNCTION)

    assert isinstance(llm.structured_predict(Film, PROMPT, subject="war"), Film)


def test_a_program_of_llamaindex_that_is_asked_for_by_name_is_left_to_it(make, simulator):
    simulator.script([WHOLE])

    llm = make(pydantic_program_mode=PydanticProgramMode.LLM)

    assert llm.structured_predict(Film, PromptTemplate("a film about {subject}"), subject="war") == CASABLANCA


def test_the_system_prompt_is_kept_in_all_four_ways(make, simulator):
    import asyncio

    async def all_four():
        llm = make(system_prompt="never mention prices")
        llm.structured_predict(Film, PROMPT, subject="war")
        await llm.astructured_predict(Film, PROMPT, subject="war")
        list(llm.stream_structured_predict(Film, PROMPT, subject="war"))
        [one async for one in await llm.astream_structured_predict(Film, PROMPT, subject="war")]

    asyncio.run(all_four())

    assert ["never mention prices" in text for text in told(simulator)] == [True] * 4


@pytest.mark.parametrize(
    ("turn", "sentence"),
    [
        ({"text": "I would rather not."}, "does not fit"),
        ({"text": '{"name": "Casablanca"}'}, "does not fit"),
        ({"refusal": "No films today."}, "refused: No films today."),
        ({"text": '{"name": "Casab', "finish": "length"}, "cut off"),
        ({"text": ""}, "does not fit"),
    ],
    ids=["prose", "a field is missing", "refusal", "cut off", "empty"],
)
def test_no_object_is_an_error_and_never_a_blank(make, simulator, turn, sentence):
    simulator.script([turn], repeat_last=True)
    llm = make()

    with pytest.raises(ValueError, match=sentence):
        llm.structured_predict(Film, PROMPT, subject="war")
    with pytest.raises(ValueError, match=sentence):
        list(llm.stream_structured_predict(Film, PROMPT, subject="war"))


def test_an_object_in_a_fence_is_read(make, simulator):
    simulator.script([f"Here it is:\n```json\n{WHOLE}\n```"], repeat_last=True)
    llm = make()

    assert llm.structured_predict(Film, PROMPT, subject="war") == CASABLANCA
    assert list(llm.stream_structured_predict(Film, PROMPT, subject="war"))[-1] == CASABLANCA


async def test_a_program_that_is_made_by_hand_gives_no_blanks(make, simulator):
    turn = {"tool_calls": [{"name": "Film", "args": {"name": "Casablanca", "year": 1942}}]}
    simulator.script([turn], repeat_last=True)
    program = FunctionCallingProgram.from_defaults(output_cls=Film, prompt=PROMPT, llm=make())
    casablanca = Film(name="Casablanca", year=1942)

    assert program(subject="war") == casablanca
    assert await program.acall(subject="war") == casablanca
    assert list(program.stream_call(subject="war"))[-1] == casablanca
    assert [one async for one in await program.astream_call(subject="war")][-1] == casablanca


def test_an_object_goes_over_to_another_provider(make, simulator):
    simulator.fail("openai", status=503)

    assert isinstance(make().structured_predict(Film, PROMPT, subject="war"), Film)
    assert simulator.calls("anthropic")


def test_a_structured_llm_chats_and_streams(make):
    llm = make()
    structured = llm.as_structured_llm(Film)

    assert isinstance(structured.chat([ChatMessage("a film")]).raw, Film)
    assert isinstance(structured.complete("a film").raw, Film)
    assert isinstance(list(structured.stream_chat([ChatMessage("a film")]))[-1].raw, Film)


async def test_a_structured_llm_chats_and_streams_without_holding_the_loop(make):
    structured = make().as_structured_llm(Film)

    assert isinstance((await structured.achat([ChatMessage("a film")])).raw, Film)
    assert isinstance([one async for one in await structured.astream_chat([ChatMessage("a film")])][-1].raw, Film)


def test_a_prompt_of_several_messages_and_its_owner_stay_as_they_are(make, simulator):
    prompt = ChatPromptTemplate(
        [ChatMessage(role="system", content="films only"), ChatMessage(role="user", content="about {subject}")]
    )
    options = {"temperature": 0.1, "tool_required": True}

    make("openai:gpt-4o-mini").structured_predict(Film, prompt, llm_kwargs=options, subject="war")

    body = simulator.calls("openai")[0].body
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["temperature"] == 0.1
    assert options == {"temperature": 0.1, "tool_required": True}
    assert prompt.output_parser is None


def test_pictures_in_a_prompt_are_kept(make, simulator):
    from llama_index.core.base.llms.types import ImageBlock, TextBlock

    picture = ImageBlock(image=PNG, image_mimetype="image/png")
    prompt = ChatPromptTemplate([ChatMessage(role="user", blocks=[TextBlock(text="what is it"), picture])])

    make("openai:gpt-4o-mini").structured_predict(Film, prompt)

    assert "image_url" in str(simulator.calls("openai")[0].body)


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cf500f0002840181e5c4d0600000000049454e44ae426082"
)
