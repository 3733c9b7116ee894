"""A stream of deltas as LlamaIndex's chunks: `delta` is the new text, the blocks are all that was said so far. Pure."""

from __future__ import annotations

import json

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.llms.joch.blocks import blocks_of
from llama_index.llms.joch.messages import KEY
from llama_index.llms.joch.results import Asked, response_of

from joch_core import Delta, Json, Part, Reasoning, Reply, Text, ToolCall


class Chunks:
    """Turns the deltas of one stream into chunks and remembers what was said."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._parts: list[Part] = []

    def feed(self, delta: Delta) -> ChatResponse | None:
        """The chunk for one delta; None if it says nothing."""
        match delta.type:
            case "text" if delta.text:
                return self._spoken(delta, delta.text)
            case "reasoning" if delta.text:
                self._add(Reasoning(delta.text))
                return self._chunk(delta, "", {"thinking_delta": delta.text})
            case "tool_call" if (call := delta.tool_call) is not None:
                if self._asked.structured and call.name not in self._asked.tools:
                    # How a backend without JSON Schema gives the structured answer: a call of no tool of the caller's.
                    return self._spoken(delta, json.dumps(call.args, ensure_ascii=False))
                self._parts.append(call)
                return self._chunk(delta, "")
            case "restart":
                # Opt-in: another backend begins anew. The blocks are empty again; what was said before is void.
                self._parts.clear()
                return self._chunk(delta, "", {"restart": True})
        return None

    def last(self, reply: Reply) -> ChatResponse:
        """The chunk that ends the stream: the whole message, tokens, and Joch's facts."""
        return response_of(reply, self._asked, delta="")

    def _spoken(self, delta: Delta, text: str) -> ChatResponse:
        self._add(Text(text))
        return self._chunk(delta, text)

    def _add(self, part: Text | Reasoning) -> None:
        last = self._parts[-1] if self._parts else None
        if isinstance(last, Text) and isinstance(part, Text):
            self._parts[-1] = Text(last.text + part.text)
        elif isinstance(last, Reasoning) and isinstance(part, Reasoning):
            self._parts[-1] = Reasoning(last.text + part.text)
        else:
            self._parts.append(part)

    def _chunk(self, delta: Delta, text: str, extra: Json | None = None) -> ChatResponse:
        facts = {"route": self._asked.route, "backend": delta.backend, "conversation": self._asked.conversation}
        calls = [_legacy(part) for part in self._parts if isinstance(part, ToolCall)]
        message = ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=blocks_of(self._parts),
            additional_kwargs={"tool_calls": calls} if calls else {},
        )
        return ChatResponse(message=message, delta=text, raw={KEY: facts}, additional_kwargs=extra or {})


def _legacy(call: ToolCall) -> Json:
    """A call as LlamaIndex's streaming programs look for it before they look at the blocks; else they give blank objects.

    Only chunks on the way have it: the last message goes into histories, where other integrations would read the call twice.
    """
    args = json.dumps(call.args, ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "name": call.name,
        "args": call.args,
        "function": {"name": call.name, "arguments": args},
    }
