import base64
import io
import json

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.llms.joch import chat_history, from_joch, to_joch

from joch_core import (
    Audio,
    File,
    Image,
    InvalidArgument,
    Message,
    Native,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    is_call_id,
)

PNG = b"\x89PNG\r\n\x1a\n rest of a picture"
CALL = ToolCall("c00000001", "search", {"q": "cats"})


def back(*messages):
    """The messages after a trip to LlamaIndex, through JSON, and back."""
    shown = [ChatMessage.model_validate_json(message.model_dump_json()) for message in from_joch(messages)]
    return to_joch(shown)


@pytest.mark.parametrize(
    "message",
    [
        Message.system("be brief"),
        Message.user("hello"),
        Message.user([Text("what is it"), Image(data=PNG, media_type="image/png")]),
        Message.user(Image(url="https://example.com/a.png", media_type="image/png")),
        Message.user(File(data=b"%PDF-1.7", media_type="application/pdf", name="a.pdf")),
        Message.user(File(file_id="file-123", native=Native("openai-responses", "openai", {}))),
        Message.user(Audio(data=b"RIFF....", media_type="audio/wav")),
        Message.user("hi", name="anna"),
        Message.assistant("hello"),
        Message.assistant([Reasoning("hm", Native("anthropic-messages", "anthropic", {"signature": "x"})), Text("yes")]),
        Message.assistant([Reasoning("", Native("anthropic-messages", "anthropic", {"type": "redacted_thinking"})), CALL]),
        Message.assistant(
            [Text("one "), Text("two", ({"url": "https://e.com", "title": "E", "quote": "q", "start": 1, "end": 3},))]
        ),
        Message.assistant(
            [ServerTool("web_search_call", "cats", Native("openai-responses", "openai", {"id": "ws_1"})), Text("x")]
        ),
        Message.assistant([CALL, ToolCall("c00000002", "search", {})]),
        Message("assistant", (Text("x"),), id="msg_1", native=Native("openai-responses", "openai", {"id": "msg_1"})),
        Message.tool("c00000001", "found", name="search"),
        Message.tool("c00000001", "no", name="search", error=True),
        Message.tool("c00000001", [Text("a"), Image(data=PNG, media_type="image/png")], name="search"),
    ],
    ids=lambda message: f"{message.role} {' '.join(part.type for part in message.parts)}",
)
def test_every_message_survives_the_trip_and_json(message):
    assert back(message) == [message]


def test_what_llamaindex_cannot_show_is_named_and_travels_beside(joch):
    losses = []
    messages = [
        Message.user(File(file_id="file-123")),
        Message.assistant([ServerTool("web_search_call", "cats"), CALL]),
        Message.tool("c00000001", "no", name="search", error=True),
    ]

    shown = from_joch(messages, losses)

    assert to_joch(shown) == messages
    assert {loss["code"] for loss in losses} == {"file.hidden", "part.hidden", "tool_result.error"}
    assert all(set(loss) == {"code", "text"} for loss in losses)


def test_what_joch_keeps_is_plain_json_under_one_key():
    shown = from_joch(
        [Message.assistant([Reasoning("hm", Native("anthropic-messages", "anthropic", {"signature": "x"})), CALL])]
    )[0]

    assert list(shown.additional_kwargs) == ["joch"]
    json.dumps(shown.additional_kwargs)


def test_an_edited_answer_is_read_as_it_stands():
    signed = Reasoning("hm", Native("anthropic-messages", "anthropic", {"signature": "x"}))
    shown = from_joch([Message("assistant", (signed, Text("the code is 1234")), id="msg_1")])[0]
    shown.blocks[-1] = TextBlock(text="the code is hidden")

    (read,) = to_joch([shown])

    assert read.text == "the code is hidden"
    assert read.parts[0] == signed
    assert read.id is None


@pytest.mark.parametrize(
    ("role", "canonical"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
    ],
)
def test_each_role_has_its_place(role, canonical):
    assert [message.role for message in to_joch([ChatMessage(role=role, content="x")])] == [canonical]


def assistant(*calls):
    blocks = [ToolCallBlock(tool_call_id=id_, tool_name=name, tool_kwargs=args) for id_, name, args in calls]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


def result(foreign, text, role=MessageRole.TOOL, **extra):
    given = {"tool_call_id": foreign} if foreign is not None else {}
    return ChatMessage(role=role, content=text, additional_kwargs={**given, **extra})


@pytest.mark.parametrize(
    "history",
    [
        [
            assistant(("call_abcdefghijklmnop", "f", {"a": 1}), ("call_2", "f", {"a": 2})),
            result("call_abcdefghijklmnop", "1"),
            result("call_2", "2"),
        ],
        [assistant(("call_1", "f", '{"a": 1}'), ("call_2", "f", '{"a": 2}')), result("call_2", "2"), result("call_1", "1")],
        [assistant((None, "f", {"a": 1}), (None, "f", {"a": 2})), result(None, "1"), result(None, "2")],
        [assistant((None, "f", {"a": 1}), (None, "f", {"a": 2})), result("f", "1"), result("f", "2")],
        [assistant(("f", "f", {"a": 1}), ("f", "f", {"a": 2})), result("f", "1"), result("f", "2")],
        [
            assistant((None, "f", {"a": 1})),
            result(None, "1", MessageRole.FUNCTION, name="f"),
            assistant((None, "f", {"a": 2})),
            result(None, "2", MessageRole.FUNCTION, name="f"),
        ],
        [assistant(("x", "f", {"a": 1})), result("x", "1"), assistant(("x", "f", {"a": 2})), result("x", "2")],
    ],
    ids=[
        "ids",
        "arguments as text, results in another order",
        "no ids",
        "results by name",
        "ids that are names",
        "functions of old",
        "an id used again",
    ],
)
def test_calls_of_other_integrations_get_their_results(history):
    read = to_joch(history)

    calls = [call for message in read for call in message.tool_calls]
    results = {one.call_id: one for message in read for one in message.tool_results}
    assert [call.args for call in calls] == [{"a": 1}, {"a": 2}]
    assert all(is_call_id(call.id) for call in calls)
    assert [results[call.id].text for call in calls] == ["1", "2"]
    assert {one.name for one in results.values()} == {"f"}
    assert read == to_joch(history)


@pytest.mark.parametrize(
    "legacy",
    [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "call_1", "name": "f", "args": {"a": 1}},
        {"id": "call_1", "name": "f", "input": {"a": 1}},
    ],
    ids=["openai", "google", "anthropic"],
)
def test_calls_that_older_integrations_keep_beside_the_blocks_are_read(legacy, llm_calls):
    message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [legacy]})

    assert [(call.name, call.args) for call in to_joch([message])[0].tool_calls] == [("f", {"a": 1})]
    assert llm_calls(message) == [("f", {"a": 1})]


@pytest.fixture
def llm_calls(make):
    from llama_index.core.base.llms.types import ChatResponse

    def calls(message):
        found = make().get_tool_calls_from_response(ChatResponse(message=message))
        return [(call.tool_name, call.tool_kwargs) for call in found]

    return calls


def test_arguments_that_are_no_object_stay_as_they_came():
    (read,) = to_joch([assistant(("call_1", "f", '{"a": '))])

    assert read.tool_calls[0].args == {"invalid_json": '{"a": '}


def test_media_are_read_from_bytes_files_buffers_and_data_urls(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    buffer = io.BytesIO(PNG)
    buffer.seek(3)
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()

    blocks = [
        ImageBlock(image=PNG, image_mimetype="image/png"),
        ImageBlock(path=file),
        ImageBlock(image=buffer, image_mimetype="image/png"),
        ImageBlock(url=url),
        ImageBlock(url="https://example.com/a.png"),
        AudioBlock(audio=b"RIFF1234WAVEfmt ", format="wav"),
        VideoBlock(video=b"video", video_mimetype="video/mp4"),
        DocumentBlock(data=b"%PDF-1.7", document_mimetype="application/pdf", title="a.pdf"),
        DocumentBlock(url="https://example.com/a.pdf", document_mimetype="application/pdf"),
    ]
    (message,) = to_joch([ChatMessage(role="user", blocks=blocks)])

    pictures = [part for part in message.parts if isinstance(part, Image)]
    assert [part.data for part in pictures] == [PNG] * 4 + [None]
    assert pictures[4].url == "https://example.com/a.png"
    assert {part.media_type for part in pictures} == {"image/png"}
    assert buffer.tell() == 3
    assert message.parts[5] == Audio(b"RIFF1234WAVEfmt ", "audio/wav")
    assert message.parts[6] == File(data=b"video", media_type="video/mp4")
    assert message.parts[7] == File(data=b"%PDF-1.7", media_type="application/pdf", name="a.pdf")
    assert message.parts[8].url == "https://example.com/a.pdf"


def test_a_file_that_is_not_there_is_named(tmp_path):
    gone = DocumentBlock(path=str(tmp_path / "gone.pdf"), document_mimetype="application/pdf")

    with pytest.raises(InvalidArgument, match=r"gone\.pdf"):
        to_joch([ChatMessage(role="user", blocks=[gone])])


def test_citations_cache_points_and_citable_blocks_are_never_a_crash():
    losses = []
    citation = CitationBlock(cited_content="q", source="https://e.com", title="E", additional_location_info={"start": 1})
    cache = CachePoint(cache_control=CacheControl(type="ephemeral"))

    answer, question = to_joch(
        [
            ChatMessage(role="assistant", blocks=[TextBlock(text="said"), citation]),
            ChatMessage(
                role="user",
                blocks=[cache, TextBlock(text="long"), cache, CitableBlock(title="T", source="s", content="body")],
            ),
        ],
        losses,
    )

    assert answer.parts == (Text("said", ({"url": "https://e.com", "title": "E", "quote": "q", "start": 1},)),)
    assert question.parts[0].native.data == {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    assert question.text == "longT (s):\nbody"
    assert [loss["code"] for loss in losses] == ["cache.dropped", "citable.flattened"]


def test_a_cache_point_reaches_anthropic_and_nobody_else(make, simulator):
    cache = CachePoint(cache_control=CacheControl(type="ephemeral"))
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="long"), cache])]

    make("anthropic:claude-sonnet", "openai:gpt-5-mini").chat(messages)
    make().chat(messages)

    assert "cache_control" in str(simulator.calls("anthropic")[0].body)
    assert "cache_control" not in str(simulator.calls("openai")[0].body)


def test_losses_are_told_with_the_answer(make):
    messages = [ChatMessage(role="user", blocks=[CitableBlock(title="T", source="s", content="body")])]

    facts = make().chat(messages).raw["joch"]

    assert [loss["code"] for loss in facts["losses"]] == ["citable.flattened"]


def test_a_picture_is_seen_on_every_wire(llm, simulator):
    picture = ImageBlock(image=base64.b64decode(DOT), image_mimetype="image/png")

    response = llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="what is it"), picture])])

    assert response.message.content == "You said: what is it"
    assert DOT in json.dumps([call.body for call in simulator.journal if call.status == 200])


DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_thinking_of_another_provider_stays_at_home(make, simulator):
    simulator.script([{"reasoning": "secret thought", "text": "yes"}], provider="anthropic")
    first = make("anthropic:claude-sonnet", "openai:gpt-5-mini", reasoning="high").chat([ChatMessage("hi")])

    make("openai:gpt-4o-mini").chat([ChatMessage("hi"), first.message, ChatMessage("and now")])

    assert isinstance(first.message.blocks[0], ThinkingBlock)
    assert "secret thought" not in str(simulator.calls("openai")[-1].body)


def test_a_message_with_several_results_becomes_several(joch):
    both = Message("tool", (ToolResult("c00000001", (Text("1"),), "f"), ToolResult("c00000002", (Text("2"),), "f")))

    assert [message.content for message in from_joch([both])] == ["1", "2"]


def test_a_history_of_several_providers_is_shown_whole(make, joch, simulator):
    for backend in ("openai:gpt-5-mini", "anthropic:claude-sonnet", "google:gemini-pro"):
        make(backend, "openai:gpt-4o-mini", conversation="c").chat([ChatMessage(f"hello {backend}")])

    history = chat_history("c", joch=joch)

    assert [message.content for message in history if message.role == "assistant"] == [
        "You said: hello openai:gpt-5-mini",
        "You said: hello anthropic:claude-sonnet",
        "You said: hello google:gemini-pro",
    ]
    assert to_joch(history) == list(joch.conversation("c").messages())
