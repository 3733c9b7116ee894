"""The spellings that all wires share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joch_core.errors import InvalidArgument
from joch_core.messages import call_id, is_call_id
from joch_core.messages.encoding import (
    data_url,
    decode_base64,
    encode_base64,
    expect_bytes,
    expect_list,
    expect_object,
    expect_text,
    json_object,
    merge_fields,
    read_data_url,
)


@given(st.binary())
def test_bytes_come_back_from_base64_and_from_data_urls(data):
    assert decode_base64(encode_base64(data)) == data
    assert read_data_url(data_url("image/png", data)) == ("image/png", data)


@pytest.mark.parametrize("text", ["_-8=", "_-8", "/+8=", "/+\n8"])
def test_both_alphabets_with_and_without_padding_are_read(text):
    assert decode_base64(text) == b"\xff\xef"


@pytest.mark.parametrize("text", ["%", "a", "äöü"])
def test_what_is_no_base64_is_a_value_error(text):
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)


def test_data_urls_without_base64_and_other_urls():
    assert read_data_url("data:,a%20b") == ("text/plain", b"a b")
    assert read_data_url("https://x/y") is None
    with pytest.raises(ValueError, match="comma"):
        read_data_url("data:image/png;base64")


def test_tool_arguments_are_an_object_or_an_error():
    assert json_object('{"a": 1}') == {"a": 1}
    assert json_object("  ") == {}
    for text in ("[1]", '"x"', "{", "null", "[" * 100_000):
        with pytest.raises(ValueError):
            json_object(text)


def test_extra_fields_go_into_objects_without_wiping_them_out():
    inner = {"a": 1, "b": {"c": 2}}
    body = {"x": inner}
    merge_fields(body, {"x": {"b": {"d": 3}}, "y": [1]})

    assert body == {"x": {"a": 1, "b": {"c": 2, "d": 3}}, "y": [1]}
    assert inner == {"a": 1, "b": {"c": 2}}


@pytest.mark.parametrize(
    ("expect", "value"),
    [(expect_object, []), (expect_list, {}), (expect_text, None), (expect_bytes, "%"), (expect_bytes, 1)],
)
def test_a_wrong_value_is_refused_by_its_place(expect, value):
    with pytest.raises(InvalidArgument, match=r"messages\[3\]\.content"):
        expect(value, "messages[3].content")


@given(st.lists(st.text() | st.integers(), min_size=1))
def test_call_ids_are_stable_and_valid_everywhere(seed):
    assert is_call_id(call_id(*seed))
    assert call_id(*seed) == call_id(*seed)
