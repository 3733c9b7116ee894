"""The decoder of server-sent events: how a network cuts the bytes changes nothing, and a long event costs its length."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joch_core.errors import ProviderError
from joch_core.providers.sse import MAX_EVENT_BYTES, EventDecoder

_LINES = st.sampled_from(
    [b"data: {}", b"data:", b"data: \xc3\xa4", b"event: ping", b": comment", b"", b"id: 1", b"x", b"\xff"]
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(_LINES, _ENDS), max_size=30), st.data())
def test_the_cuts_of_the_network_change_nothing(rows: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    stream = b"".join(line + end for line, end in rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    whole, pieces = EventDecoder(), EventDecoder()
    expected = [*whole.feed(stream), *whole.end()]
    got = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += pieces.feed(stream[begin:end])
    assert [*got, *pieces.end()] == expected


def test_what_an_event_holds() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b": hello\nevent: delta\nid: 7\ndata: one\ndata:two\n\ndata: last") == [("delta", "one\ntwo")]
    assert decoder.end() == [(None, "last")]  # some servers forget the last blank line


def test_a_long_event_in_many_pieces_is_held_once() -> None:
    piece, pieces = b"x" * 1000, 8000
    decoder = EventDecoder()
    decoder.feed(b"data: ")
    tracemalloc.start()
    for _ in range(pieces):
        assert decoder.feed(piece) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # the pieces are referred to; joining each to what came before would hold all of it anew
    [(_, text)] = decoder.feed(b"\n\n")
    assert len(text) == pieces * len(piece)


@pytest.mark.parametrize("between", [b"", b"\ndata: ", b"\r\ndata:"])
def test_an_event_that_never_ends_is_a_fault_before_memory_is(between: bytes) -> None:
    decoder = EventDecoder()
    decoder.feed(b"data: ")
    piece = b"x" * (MAX_EVENT_BYTES // 16) + between
    with pytest.raises(ProviderError) as caught:
        for _ in range(20):
            decoder.feed(piece)
    assert caught.value.code == "event_too_large"
