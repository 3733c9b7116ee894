"""A stream of deltas as LangChain chunks. Pure; one `Chunks` per stream.

Plain answers come as strings, as with every chat model; answers that begin with reasoning, and all answers under
`output_version="v1"`, as standard blocks. Facts that cannot be merged (names, cost, tokens) stand in the last chunk only.
"""

from __future__ import annotations

import json
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from joch_core import Delta, Json, Message, Reply, StreamInterrupted, Text, ToolCall
from langchain_joch.blocks import block_of
from langchain_joch.messages import Call, calls_in_content, kept_of, response_metadata, tool_calls_of, usage_metadata

_STREAMED = ("text", "reasoning", "tool_call")


class Chunks:
    """Turns deltas into chunks and remembers what was shown.

    `listed`: standard blocks from the first chunk on. `tools` are the names of the caller's tools; where the answer is
    `structured`, a call of any other name is the answer itself.
    """

    def __init__(self, *, listed: bool, tools: frozenset[str] = frozenset(), structured: bool = False) -> None:
        self._listed = listed
        self._tools = tools
        self._structured = structured
        self._index = -1
        self._kind = ""
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._text_indexes: list[int] = []

    def feed(self, delta: Delta) -> ChatGenerationChunk | None:
        """The chunk for one delta; None if there is nothing to show.

        Raises:
            StreamInterrupted: another backend begins anew after a part of the answer was shown. LangChain merges chunks,
                so the two texts would be read as one.
        """
        match delta.type:
            case "text" if delta.text:
                self._begin(delta)
                return self._spoken("text", delta.text)
            case "reasoning" if delta.text:
                if not self._text and not self._calls:
                    self._listed = True
                return self._spoken("reasoning", delta.text) if self._listed else None
            case "tool_call" if delta.tool_call is not None:
                self._begin(delta)
                if self._structured and delta.tool_call.name not in self._tools:
                    # How a backend without JSON Schema gives the structured answer: a call of no tool of the caller's.
                    return self._spoken("text", json.dumps(delta.tool_call.args, ensure_ascii=False))
                return self._call(delta.tool_call)
            case "restart" if self._index >= 0:
                raise StreamInterrupted(
                    "the stream broke and began anew on another backend, which chunks cannot express: use invoke, or read "
                    "what joch_core's own stream gives",
                    partial=Reply(Message.assistant([Text("".join(self._text)), *self._calls]), "other"),
                )
        return None

    def _begin(self, delta: Delta) -> None:
        if self._index < 0 and self._tools and calls_in_content(delta.backend):
            self._listed = True

    def _advance(self, kind: str) -> int:
        if kind != self._kind or kind == "tool_call":
            self._kind, self._index = kind, self._index + 1
            if kind == "text":
                self._text_indexes.append(self._index)
        return self._index

    def _spoken(self, kind: str, text: str) -> ChatGenerationChunk:
        index = self._advance(kind)
        if kind == "text":
            self._text.append(text)
        if not self._listed:
            return ChatGenerationChunk(message=AIMessageChunk(content=text))
        return self._blocks([{"type": kind, kind: text, "index": index}])

    def _call(self, call: ToolCall) -> ChatGenerationChunk:
        index, args = self._advance("tool_call"), json.dumps(call.args, ensure_ascii=False)
        self._calls.append(call)
        piece = tool_call_chunk(name=call.name, args=args, id=call.id, index=index)
        if not self._listed:
            return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
        return self._blocks([dict(piece)], tool_call_chunks=[piece])

    def _blocks(self, blocks: list[Json], **fields: Any) -> ChatGenerationChunk:
        content = cast("list[str | dict[Any, Any]]", blocks)
        return ChatGenerationChunk(
            message=AIMessageChunk(content=content, response_metadata={"output_version": "v1"}, **fields)
        )

    def _rest(self, reply: Reply) -> list[Json]:
        """Blocks that no delta carried: server tools, media, citations, a refusal."""
        if reply.refusal is not None:
            return [{"type": "refusal", "refusal": reply.refusal, "index": self._index + 1}]
        texts = [part for part in reply.message.parts if isinstance(part, Text)]
        cited = zip(self._text_indexes, texts, strict=True) if len(texts) == len(self._text_indexes) else ()
        notes = [{**block_of(part), "text": "", "index": index} for index, part in cited if part.citations]
        others = [part for part in reply.message.parts if part.type not in _STREAMED]
        return notes + [{**block_of(part), "index": self._index + 1 + offset} for offset, part in enumerate(others)]

    def last(self, reply: Reply, call: Call) -> ChatGenerationChunk:
        """The chunk that ends the stream: tokens, names, Joch's facts, and whatever no delta carried."""
        shown = AIMessage("".join(self._text), tool_calls=tool_calls_of(self._calls))
        extra: Json = kept_of(reply.message, shown)
        if reply.refusal is not None:
            extra["refusal"] = reply.refusal
        rest = self._rest(reply) if self._listed or not (self._text or self._calls) else []
        metadata = response_metadata(reply, call)
        if rest or self._listed:
            metadata["output_version"] = "v1"
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=cast("list[str | dict[Any, Any]]", rest) if rest or self._listed else "",
                usage_metadata=usage_metadata(reply.usage),
                response_metadata=metadata,
                additional_kwargs=extra,
                chunk_position="last",
            )
        )
