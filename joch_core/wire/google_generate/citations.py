"""What Google Search found, as neutral citations beside the text that it supports. Reads only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from joch_core.messages import Json, Part, Text


def cited(parts: list[Part], grounding: Json) -> list[Part]:
    """The parts, with the sources of each segment beside the text that holds it.

    Segments are found by their text: their offsets count bytes, and in a stream nobody says of which part.
    """
    chunks, supports = grounding.get("groundingChunks"), grounding.get("groundingSupports")
    if not isinstance(chunks, list) or not isinstance(supports, list):
        return parts
    parts = list(parts)
    for support in supports:
        segment = support.get("segment") if isinstance(support, dict) else None
        text = segment.get("text") if isinstance(segment, dict) else None
        if not isinstance(text, str) or not text:
            continue
        for index, part in enumerate(parts):
            if isinstance(part, Text) and (start := part.text.find(text)) >= 0:
                found = [{**source, "start": start, "end": start + len(text)} for source in _sources(support, chunks)]
                parts[index] = replace(part, citations=(*part.citations, *found))
                break
    return parts


def _sources(support: Json, chunks: list[Any]) -> list[Json]:
    indices = support.get("groundingChunkIndices")
    found = []
    for index in indices if isinstance(indices, list) else ():
        chunk = chunks[index] if isinstance(index, int) and 0 <= index < len(chunks) else None
        for source in chunk.values() if isinstance(chunk, dict) else ():
            if isinstance(source, dict):
                neutral = {"url": source.get("uri"), "title": source.get("title")}
                found.append({name: value for name, value in neutral.items() if isinstance(value, str)})
    return found
