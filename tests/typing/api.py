"""The public types, checked by the type checker and never run."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from joch_core import (
    AsyncReplyStream,
    CheckReport,
    Conversation,
    Delta,
    Event,
    Explanation,
    Joch,
    Json,
    Message,
    ModelRequest,
    Reply,
    ReplyStream,
    Run,
    ToolCall,
    ToolSpec,
    Usage,
    read_request,
    tool,
)


def calls(joch: Joch) -> None:
    reply = joch.call("research-default", [Message.user("hello")], tools=[ToolSpec("f", "…", {})], temperature=0.1)
    assert_type(reply, Reply)
    assert_type(reply.text, str)
    assert_type(reply.tool_calls, tuple[ToolCall, ...])
    assert_type(reply.usage, Usage)
    assert_type(reply.cost_usd, Decimal | None)
    joch.call(["openai:gpt-5-mini", "anthropic:claude-sonnet"], "hello", conversation="conv-99")
    stream = joch.stream("research-default", "hello")
    assert_type(stream, ReplyStream)
    for delta in stream:
        assert_type(delta, Delta)
    assert_type(stream.reply, Reply)


async def asynchronous(joch: Joch) -> None:
    assert_type(await joch.acall("research-default", "hello"), Reply)
    stream = joch.astream("research-default", "hello")
    assert_type(stream, AsyncReplyStream)
    async for delta in stream:
        assert_type(delta, Delta)


def conversations(joch: Joch) -> None:
    conversation = joch.conversation("conv-99")
    assert_type(conversation, Conversation)
    assert_type(conversation.messages(), tuple[Message, ...])
    assert_type(conversation.backend, str | None)
    assert_type(joch.check_switch(conversation="conv-99", to="anthropic:claude-sonnet"), CheckReport)
    assert_type(joch.preview(conversation="conv-99", to="anthropic:claude-sonnet"), Json)
    assert_type(joch.explain("exec-20260510-002"), Explanation)
    assert_type(joch.trace("conv-99", since="1h"), list[Event])
    with joch.execution(conversation="conv-99") as run:
        assert_type(run, Run)
        assert_type(run.name, str)


def requests(body: Json) -> None:
    assert_type(read_request("openai-chat", body), ModelRequest)


@tool(effect="external_write", idempotent=False)
def create_ticket(subject: str, body: str) -> dict[str, str]:
    return {"subject": subject, "body": body}


assert_type(create_ticket("a", "b"), dict[str, str])
