"""YAML with its bounds: what is refused before it can do harm, and how words are read."""

from __future__ import annotations

import time

import pytest

from joch_core.resources.yaml_lines import MAX_BYTES, read


def refused(text: str) -> str:
    document, problems = read(text)
    assert document is None or problems
    return "; ".join(map(str, problems))


def test_an_alias_bomb_is_refused_at_once() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    began = time.monotonic()

    assert "more than 20000 values" in refused("\n".join(rows))
    assert time.monotonic() - began < 5


def test_an_alias_inside_itself_is_refused() -> None:
    assert "an alias stands inside what it names" in refused("a: &a [*a]")


def test_deep_nesting_is_refused_in_every_style() -> None:
    block = "\n".join("  " * level + "a:" for level in range(60))

    assert "nested deeper than 40 levels" in refused("[" * 5000 + "]" * 5000)
    assert "nested deeper than 40 levels" in refused("{a: " * 5000 + "}" * 5000)
    assert "nested deeper than 40 levels" in refused(block)


def test_a_field_that_stands_there_twice_is_refused_with_both_lines() -> None:
    assert refused("spec:\n  a: 1\n  b: 2\n  a: 3\n") == "4: spec.a: stands there twice, first in line 2"


def test_a_file_that_is_too_large_is_refused() -> None:
    assert "is larger than" in refused("a: " + "x" * MAX_BYTES)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [ls]", "!mine x", "!!binary aGk=", "!!set {a}", "!!timestamp 2026"]
)
def test_tags_are_refused(tag: str) -> None:
    assert "are not allowed" in refused(f"a: {tag}")


def test_broken_yaml_is_named_with_its_line() -> None:
    found = refused("a: 1\nb: [1, 2\nc: 3\n")

    assert found.startswith("3: is no YAML:")


def test_a_name_must_be_a_word() -> None:
    assert "a field's name must be a word" in refused("? [a, b]\n: 1\n")


def test_words_are_read_as_in_yaml_1_2() -> None:
    text = "a: no\nb: on\nc: true\nd: 2026-05-10\ne: 012\nf: 1e3\ng: 0x1F\nh: ~\ni: 1.5\nj: '5'\nk: 12:30:45\nl: 1_000\n"
    document, problems = read(text)

    assert problems == []
    assert document is not None
    assert document.data == {
        "a": "no", "b": "on", "c": True, "d": "2026-05-10", "e": 12, "f": 1000.0, "g": 31, "h": None, "i": 1.5, "j": "5",
        "k": "12:30:45", "l": 1000,
    }  # fmt: skip


def test_aliases_within_reason_are_fine() -> None:
    document, problems = read("a: &x {b: 1}\nc: *x\n")

    assert (document and document.data, problems) == ({"a": {"b": 1}, "c": {"b": 1}}, [])


def test_lines_are_those_of_the_fields() -> None:
    document, _ = read("a:\n  b:\n  - c: 1\n    d: 2\n", first_line=11)

    assert document is not None
    assert document.lines.of(("a", "b", 0, "d")) == 14
    assert document.lines.of(("a", "b", 0, "missing")) == 13
