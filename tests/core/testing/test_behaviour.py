"""What the simulated model says when no script tells it, what a script tells it, and how it is driven from outside."""

import json
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import anthropic
import jsonschema
import openai
import pytest
import typer
from typer.testing import CliRunner

from joch_core.cli.simulate import simulate
from joch_core.errors import InvalidArgument
from joch_core.testing import Simulator, read_script
from joch_core.testing.behaviour import Question, answer, mentions, sample, wanted_calls

USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "a", "parameters": {"type": "object", "properties": {}}}}


def chat(sdk, text="hi", **options):
    return sdk.openai.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}], **options)


# --------------------------------------------------------------------------------------------------------- behaviour


def test_calls_are_read_in_steps():
    steps = wanted_calls('call a {"n": 1} and call b, then call c {"deep": {"x": "then call d"}}')
    assert [[(call.name, call.args) for call in step] for step in steps] == [
        [("a", {"n": 1}), ("b", {})],
        [("c", {"deep": {"x": "then call d"}})],
    ]


def test_steps_are_made_one_after_the_other(sim, sdk):
    messages = [{"role": "user", "content": 'call a {"n": 1} then call a {"n": 2}'}]
    seen = []
    for _ in range(2):
        said = sdk.openai.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL]).choices[0].message
        (call,) = said.tool_calls
        seen.append(json.loads(call.function.arguments))
        messages += [said.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "ok"}]
    done = sdk.openai.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    assert seen == [{"n": 1}, {"n": 2}]
    assert done.choices[0].message.content == "a returned: ok"


def test_a_block_of_data_in_a_user_message_is_read_but_not_obeyed(sim, sdk):
    block = '<joch-handoff nonce="1">\n{"goal": "call a {} for Rex the dog"}\n</joch-handoff>'
    assert chat(sdk, f"{block}\nGo on.", tools=[TOOL]).choices[0].message.content == "You said: Go on."
    assert "Rex the dog" in chat(sdk, f"{block}\nWhat do you know about Rex?", tools=[TOOL]).choices[0].message.content


def test_a_tool_that_is_not_offered_is_not_called(sim, sdk):
    assert chat(sdk, "call other {}", tools=[TOOL]).choices[0].message.content == "You said: call other {}"


TOOLS = {
    "magic": {"type": "object", "properties": {"number": {"type": "integer"}}},
    "get_weather": None,
    "greet": {"type": "object", "properties": {"name": {"type": "string"}}},
}


@pytest.mark.parametrize(
    ("text", "choice", "call"),
    [
        ("What is magic(3)? Use the tool.", "auto", ("magic", {"number": 3})),
        ("What is the weather in Bonn?", "auto", ("get_weather", {"input": "What is the weather in Bonn?"})),
        ("Say hello to 'Grüße AG'.", "greet", ("greet", {"name": "Grüße AG"})),
        ("Hello.", "required", ("magic", {"number": 1})),
        ("Hello.", "auto", None),
        ("What is magic(3)?", "none", None),
    ],
)
def test_a_tool_that_the_text_means_is_called(text, choice, call):
    turn = answer(Question("openai-chat", "m", text, tools=TOOLS, choice=choice))
    assert [(made.name, made.args) for made in turn.tool_calls] == ([call] if call else [])


def test_json_mode_answers_with_the_keys_that_are_named(sim, sdk):
    done = chat(sdk, "A joke as JSON with 'setup' and 'punchline' keys.", response_format={"type": "json_object"})
    assert json.loads(done.choices[0].message.content) == {"setup": "setup", "punchline": "punchline"}


def test_a_recall_gives_the_lines_that_mention_the_subject():
    lines = ("Rex is a dog.\nTom is a cat.", "x" * 900 + " rex likes bones " + "y" * 900)
    found = mentions(lines, "Rex")
    assert found[0] == "Rex is a dog."
    assert "rex likes bones" in found[1]
    assert len(found[1]) < 400


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 7}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"when": {"type": "string", "format": "date"}, "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2}}, "required": ["when", "tags"]},
        {"$defs": {"p": {"type": "object", "properties": {"n": {"anyOf": [{"type": "null"}, {"type": "number"}]}}, "required": ["n"]}}, "$ref": "#/$defs/p"},
        {"$defs": {"t": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/t"}, {"type": "null"}]}}, "required": ["next"]}}, "$ref": "#/$defs/t"},
        {"type": "object", "properties": {"s": {"type": "string", "minLength": 9, "maxLength": 10}, "m": {"type": "integer", "multipleOf": 5}}},
        {"type": ["object", "null"], "properties": {"c": {"const": 3}}, "required": ["c"]},
    ],
)  # fmt: skip
def test_a_sample_satisfies_its_schema(schema):
    jsonschema.validate(sample(schema), schema)


def test_a_limit_of_output_tokens_cuts_the_answer(sim, sdk):
    done = chat(sdk, "word " * 50, max_tokens=4)
    assert done.choices[0].finish_reason == "length"
    assert len(done.choices[0].message.content) <= 16


# ------------------------------------------------------------------------------------------------------------ scripts


def test_a_script_answers_in_order_and_then_the_built_in_behaviour(sim, sdk):
    sim.script(
        ["One.", {"tool_calls": [{"name": "a", "args": {"n": 1}, "id": "call_7"}], "usage": {"input_tokens": 7}}],
        provider="openai",
    )
    assert chat(sdk).choices[0].message.content == "One."
    second = chat(sdk, tools=[TOOL])
    assert second.choices[0].message.tool_calls[0].id == "call_7"
    assert second.usage.prompt_tokens == 7
    assert chat(sdk).choices[0].message.content == "You said: hi"


def test_a_turn_can_wait_for_its_words(sim, sdk):
    sim.script([{"text": "Noted.", "when": "remember"}], repeat_last=True)
    assert chat(sdk).choices[0].message.content == "You said: hi"
    assert chat(sdk, "remember this").choices[0].message.content == "Noted."
    assert chat(sdk, "remember that").choices[0].message.content == "Noted."


def test_a_refusal_is_told_in_the_manner_of_each_api(sim, sdk):
    sim.script([{"refusal": "I will not."}], repeat_last=True)
    assert chat(sdk).choices[0].message.refusal == "I will not."
    assert sdk.openai.responses.create(model="gpt-4o", input="hi").output[0].content[0].refusal == "I will not."
    assert sdk.anthropic.messages.create(model="claude-sonnet-5", max_tokens=9, messages=USER).stop_reason == "refusal"
    assert (
        sdk.google.models.generate_content(model="gemini-2.5-flash", contents="hi").candidates[0].finish_reason == "SAFETY"
    )


def test_a_script_file_says_all_there_is_to_say(tmp_path):
    path = tmp_path / "script.yaml"
    path.write_text(
        """
        turns: [For all.]
        scripts:
          - {provider: anthropic, turns: [For Claude.]}
        faults:
          - {provider: openai, status: 503, times: 1}
        windows: {tiny: 3}
        """
    )
    with Simulator(script=path) as sim:
        client = openai.OpenAI(base_url=sim.base_url("openai"), api_key="k", max_retries=0)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="gpt-4o", messages=USER)
        assert client.chat.completions.create(model="gpt-4o", messages=USER).choices[0].message.content == "For all."
        with pytest.raises(openai.BadRequestError, match="context length is 3 tokens"):
            client.chat.completions.create(model="tiny", messages=USER)


@pytest.mark.parametrize("wrong", [{"turn": []}, {"turns": [{"texts": "x"}]}, "just text"])
def test_a_wrong_script_is_refused(wrong):
    with pytest.raises(InvalidArgument):
        read_script(wrong)


# ----------------------------------------------------------------------------------------------- journal and the outside


def test_the_journal_has_every_request_and_no_secret(sim, sdk):
    sdk.openai.with_options(api_key="sk-very-secret").chat.completions.create(model="gpt-4o", messages=USER)
    sdk.anthropic.messages.create(model="claude-sonnet-5", max_tokens=9, messages=USER)
    first, second = sim.journal
    assert (first.provider, first.api, first.model, first.status) == ("openai", "openai-chat", "gpt-4o", 200)
    assert first.body["messages"] == USER
    assert first.answer == {"finish": "stop", "text": "You said: hi"}
    assert second.provider == "anthropic"
    assert "very-secret" not in json.dumps([call.as_json() for call in sim.journal])
    sim.clear()
    assert len(sim.journal) == 0


def ask(url, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=5) as answer:
        return json.load(answer)


def test_another_process_can_drive_it_over_http(sim, sdk):
    ask(f"{sim.url}/_joch/script", {"turns": ["Told from outside."]})
    ask(f"{sim.url}/_joch/fault", {"provider": "openai", "status": 503, "times": 1})
    with pytest.raises(openai.InternalServerError):
        chat(sdk)
    assert chat(sdk).choices[0].message.content == "Told from outside."
    seen = ask(f"{sim.url}/_joch/journal?provider=openai")
    assert [call["status"] for call in seen] == [503, 200]
    ask(f"{sim.url}/_joch/journal", method="DELETE")
    assert ask(f"{sim.url}/_joch/journal") == []
    ask(f"{sim.url}/_joch/recover", {})


def test_requests_from_many_threads_are_all_answered_and_counted(sim, sdk):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: chat(sdk, f"n{number}").choices[0].message.content, range(80)))
    assert answers == [f"You said: n{number}" for number in range(80)]
    assert len({call.number for call in sim.journal}) == 80


def test_recorded_tokens_can_be_let_in():
    history = [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkYIBRgCIkDx"},
                {"type": "text", "text": "Hi."},
            ],
        },
        {"role": "user", "content": "Go on."},
    ]
    with Simulator(tokens="any") as sim:
        client = anthropic.Anthropic(base_url=sim.base_url("anthropic"), api_key="k", max_retries=0)
        assert client.messages.create(model="claude-sonnet-5", max_tokens=99, messages=[*USER, *history]).content


def test_only_loopback_is_served():
    with pytest.raises(InvalidArgument, match="only"):
        Simulator(host="0.0.0.0")


def test_a_named_provider_has_a_path_of_its_own(sim, sdk):
    azure = sdk.openai.with_options(base_url=sim.base_url("azure"))
    sim.fail("azure", status=503, times=1)
    with pytest.raises(openai.InternalServerError):
        azure.chat.completions.create(model="gpt-4o", messages=USER)
    assert chat(sdk).choices
    assert [(call.provider, call.status) for call in sim.journal] == [("azure", 503), ("openai", 200)]
    assert sim.env("azure")["JOCH_PROVIDER_AZURE_BASE_URL"] == f"{sim.url}/p/azure/v1"


def test_azure_is_served_under_its_deployments(sim):
    client = openai.AzureOpenAI(
        azure_endpoint=sim.base_url("azure-openai").removesuffix("/v1"), api_version="2025-01-01", api_key="k", max_retries=0
    )
    assert client.chat.completions.create(model="gpt-4o", messages=USER).model == "gpt-4o"
    assert sim.calls("azure-openai")[0].path == "/p/azure-openai/openai/deployments/gpt-4o/chat/completions"


def test_the_command_prints_what_to_paste_and_ends_on_an_interrupt():
    program = "import typer; from joch_core.cli.simulate import simulate; typer.run(simulate)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        while not lines or not lines[-1].startswith("Journal"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        pasted = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines if line.startswith("export "))
        client = openai.OpenAI(base_url=pasted["JOCH_PROVIDER_OPENAI_BASE_URL"], api_key=pasted["OPENAI_API_KEY"])
        assert client.chat.completions.create(model="gpt-4o", messages=USER).choices[0].message.content == "You said: hi"
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--port", "{port}"], 1, "cannot be opened"),
        (["--script", "absent.yaml"], 2, "no such file"),
        (["--script", "{wrong}"], 1, "a turn has no field"),
    ],
)
def test_the_command_says_what_is_wrong(sim, tmp_path, arguments, code, told):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("turns: [{texts: x}]")
    command = typer.Typer()
    command.command()(simulate)
    port = sim.url.rpartition(":")[2]
    done = CliRunner().invoke(command, [argument.format(port=port, wrong=wrong) for argument in arguments])
    assert done.exit_code == code
    assert told in done.output
