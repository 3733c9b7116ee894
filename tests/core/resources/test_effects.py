import pytest
from hypothesis import given
from hypothesis import strategies as st

from joch_core.errors import InvalidArgument
from joch_core.resources.effect_keys import bounded, canonical_args, effect_key, masked, plain, render_key
from joch_core.resources.tool import Tool
from joch_core.resources.tools import declaration, declaration_of, declared_by, tool, with_defaults


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": -0.0}, {"a": 0}, True),
        ({"a": (1, 2)}, {"a": [1, 2]}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": "\u00e9"}, {"a": "e\u0301"}, False),
        ({"a": 2**53 + 1}, {"a": 2**53 + 2}, False),
        ({"a": None}, {}, False),
    ],
)
def test_arguments_are_compared_by_what_they_mean(one, two, equal):
    assert (canonical_args(one) == canonical_args(two)) == equal


def test_what_json_does_not_have_is_refused():
    with pytest.raises(InvalidArgument):
        canonical_args({"a": float("nan")})


def test_ignored_arguments_make_no_difference():
    assert canonical_args({"a": 1, "trace": 5}, ignore=["trace"]) == canonical_args({"a": 1})


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("ticket-{subject}", "ticket- Printer "),
        ("ticket-{{ args.subject | trim | lower }}", "ticket-printer"),
        ("{{order.lines.0.sku}}/{order.n}", "x1/3"),
        ("{{ subject | hash }}", render_key("{{ subject | hash }}", {"subject": " Printer "})),
        ("constant", "constant"),
    ],
)
def test_a_key_template_is_filled_from_the_arguments(template, key):
    assert render_key(template, {"subject": " Printer ", "order": {"n": 3, "lines": [{"sku": "x1"}]}}) == key


@pytest.mark.parametrize("template", ["{nothing}", "{subject.__class__}", "{{ subject | eval }}", "{subject.upper}", "{}"])
def test_a_template_evaluates_nothing(template):
    with pytest.raises(InvalidArgument):
        render_key(template, {"subject": "a"})


@given(st.lists(st.text(), min_size=4, max_size=4), st.lists(st.text(), min_size=4, max_size=4))
def test_two_effects_have_two_keys(one, two):
    assert (effect_key(*one[:3], one[3:]) == effect_key(*two[:3], two[3:])) == (one == two)


def test_any_value_has_a_form_in_json():
    loop = []
    loop.append(loop)

    assert plain({"bytes": b"ab", "set": {1}, "when": loop, "kind": int})["bytes"] == "YWI="


def test_masks_reach_into_fields_and_find_keys():
    value = masked(
        {"body": "x", "deep": {"pin": 1, "ok": 2}, "list": ["sk-abcdefgh12345678"]}, ["body", "deep.pin", "absent.x"]
    )

    assert value == {"body": "[redacted]", "deep": {"pin": "[redacted]", "ok": 2}, "list": ["[redacted]"]}


def test_what_is_too_large_is_replaced_by_a_note():
    assert bounded("x" * 10, 100) == "x" * 10
    assert bounded("x" * 101, 100)["characters"] == 103


def test_a_decorated_function_stays_callable_and_carries_its_declaration():
    @tool
    def bare(x):
        return x + 1

    @tool(effect="read", redact="x")
    def reading(x):
        return x

    assert bare(1) == 2
    assert (declaration_of(bare).effect, declaration_of(bare).repeat) == ("external_write", "across_boundary")
    assert (declaration_of(reading).effect, declaration_of(reading).redact) == ("read_only", ("x",))
    assert declaration_of(lambda: 0, "named", {"named": declaration("named", effect="financial")}).effect == "financial"
    assert declaration("x", effect="financial").repeat == "per_epoch"


@pytest.mark.parametrize("wrong", [{"effect": "harmless"}, {"repeat": "sometimes"}])
def test_an_unknown_word_in_a_declaration_is_named(wrong):
    with pytest.raises(InvalidArgument, match="give one of"):
        tool(**wrong)(lambda: 0)


def test_a_tool_resource_declares_as_a_decorator_does():
    body = {"kind": "Tool", "metadata": {"name": "pay"}, "spec": {"sideEffects": {"level": "financial", "idempotent": True}}}
    silent = {"kind": "Tool", "metadata": {"name": "t"}, "spec": {}}

    assert declared_by(Tool.model_validate(body)) == declaration("pay", effect="financial", idempotent=True)
    assert declared_by(Tool.model_validate(silent)).repeat == "across_boundary"


def test_defaults_are_filled_in_and_the_key_is_no_argument():
    def send(to, text="hi", *, joch_key=None, **more): ...

    assert with_defaults(send, {"to": "a", "joch_key": "k", "cc": "b"}) == {"to": "a", "text": "hi", "cc": "b"}
    with pytest.raises(InvalidArgument, match="send"):
        with_defaults(send, {})


@pytest.mark.parametrize("key", ["", "  ", "{{ ", "ticket-{subject", "ticket-}", "{}", "{{ | hash }}", "{{ args.a | md5 }}"])
def test_a_template_that_can_make_no_key_is_refused_when_the_tool_is_declared(key):
    with pytest.raises(InvalidArgument, match="tool pay: "):
        declaration("pay", key=key)
    assert declaration("pay", key="ticket-{{ args.subject | trim | hash }}-{n}").key
