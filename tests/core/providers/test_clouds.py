"""Azure, Bedrock and Vertex AI: path, headers and body as those clouds want them, and their answers read."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joch_core import Joch, Message, ProviderError, Reply

CLAUDE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello."}], "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
CHAT = {
    "id": "c-1", "object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
}  # fmt: skip
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
}  # fmt: skip
CLAUDE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]

Way = Callable[[Joch, str], Reply]


def _call(joch: Joch, backend: str) -> Reply:
    return joch.call(backend, [Message.user("hi")])


def _acall(joch: Joch, backend: str) -> Reply:
    return asyncio.run(joch.acall(backend, [Message.user("hi")]))


def _stream(joch: Joch, backend: str) -> Reply:
    stream = joch.stream(backend, [Message.user("hi")])
    assert "".join(delta.text for delta in stream) == stream.reply.text
    return stream.reply


def _astream(joch: Joch, backend: str) -> Reply:
    async def run() -> Reply:
        stream = joch.astream(backend, [Message.user("hi")])
        assert "".join([delta.text async for delta in stream]) == stream.reply.text
        return stream.reply

    return asyncio.run(run())


WHOLE = pytest.mark.parametrize("way", [_call, _acall], ids=["call", "acall"])
STREAMED = pytest.mark.parametrize("way", [_stream, _astream], ids=["stream", "astream"])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = ("AZURE_OPENAI", "OPENAI_", "AWS_", "GOOGLE_", "GEMINI_", "ANTHROPIC_", "CLOUD_ML_", "JOCH_")
    for name in [name for name in os.environ if name.startswith(marks)]:
        monkeypatch.delenv(name)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Joch]:
    """A `Joch` that knows one Model, `provider:m`."""

    def make(provider: str, model: str, *, key: str | None = None, **endpoint: Any) -> Joch:
        spec: dict[str, Any] = {"provider": provider, "model": model, "endpoint": endpoint}
        documents: list[dict[str, Any]] = [{"kind": "Model", "metadata": {"name": "m"}, "spec": spec}]
        if key is not None:
            monkeypatch.setenv("THE_KEY", key)
            spec["auth"] = {"secretRef": {"name": "the-key"}}
            source = {"type": "env", "name": "THE_KEY"}
            documents.append({"kind": "Secret", "metadata": {"name": "the-key"}, "spec": {"source": source}})
        folder = tmp_path / "resources"
        folder.mkdir()
        for index, document in enumerate(documents):
            (folder / f"{index}.yaml").write_text(json.dumps({"apiVersion": "joch.dev/v1alpha1", **document}))
        return Joch(store="sqlite:///:memory:", resources=folder)

    return make


@WHOLE
def test_azure_wants_the_deployment_in_the_path_and_the_api_version_beside_it(way: Way, cloud: Any, listener: Any) -> None:
    listener.answer(json.dumps(CHAT).encode())
    options = {"apiVersion": "2024-10-21"}

    with cloud("azure-openai", "my-deployment", key="k-1", baseUrl=listener.url, options=options) as joch:
        reply = way(joch, "azure-openai:m")

    (asked,) = listener.asked
    assert reply.text == "Hello."
    assert asked.path == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == "k-1"
    assert asked.body["messages"] == [{"role": "user", "content": "hi"}]


@WHOLE
def test_azure_without_an_api_version_is_spoken_to_in_its_newer_form(way: Way, cloud: Any, listener: Any) -> None:
    listener.answer(json.dumps(CHAT).encode())

    with cloud("azure-openai", "my-deployment", key="k-1", baseUrl=listener.url + "/") as joch:
        way(joch, "azure-openai:m")

    (asked,) = listener.asked
    assert asked.path == "/openai/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer k-1"
    assert asked.body["model"] == "my-deployment"


def test_a_token_of_microsoft_entra_goes_out_as_a_bearer(cloud: Any, listener: Any) -> None:
    listener.answer(json.dumps(CHAT).encode())
    options = {"apiVersion": "2024-10-21"}

    with cloud("azure-openai", "my-deployment", key="eyJ0.eyJ1.c2ln", baseUrl=listener.url, options=options) as joch:
        joch.call("azure-openai:m", "hi")

    assert listener.asked[0].headers["authorization"] == "Bearer eyJ0.eyJ1.c2ln"
    assert "api-key" not in listener.asked[0].headers


@WHOLE
def test_claude_on_bedrock_has_its_model_in_the_path_and_its_version_in_the_body(
    way: Way, cloud: Any, listener: Any
) -> None:
    listener.answer(json.dumps(CLAUDE).encode())
    model = "eu.anthropic.claude-sonnet-4-6-v1:0"

    with cloud("bedrock", model, key="k-1", baseUrl=listener.url, region="eu-central-1") as joch:
        reply = way(joch, "bedrock:m")

    (asked,) = listener.asked
    assert (reply.text, reply.usage.input_tokens) == ("Hello.", 3)
    assert asked.path == f"/model/{model}/invoke"
    assert asked.headers["authorization"] == "Bearer k-1"
    assert asked.body["anthropic_version"]
    assert asked.body.keys() & {"model", "stream"} == set()


@WHOLE
def test_claude_on_bedrock_without_a_key_is_signed_with_the_aws_credentials(
    way: Way, cloud: Any, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature is worked out anew from what arrived; with another secret it would be another one."""
    pytest.importorskip("botocore", reason="needs pip install 'joch[bedrock]'")
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-session")
    listener.answer(json.dumps(CLAUDE).encode())

    with cloud("bedrock", "anthropic.claude-opus-4-8-v1:0", baseUrl=listener.url, region="eu-central-1") as joch:
        assert way(joch, "bedrock:m").text == "Hello."

    (asked,) = listener.asked
    assert asked.path == "/model/anthropic.claude-opus-4-8-v1%3A0/invoke" or asked.path.endswith("v1:0/invoke")
    assert asked.headers["x-amz-security-token"] == "the-session"
    scheme, _, given = asked.headers["authorization"].partition(" ")
    fields = dict(field.strip().split("=", 1) for field in given.split(","))
    moment = asked.headers["x-amz-date"]
    assert scheme == "AWS4-HMAC-SHA256"
    assert fields["Credential"] == f"AKIDEXAMPLE/{moment[:8]}/eu-central-1/bedrock/aws4_request"

    def signature(secret: str) -> str:
        heads = {name: asked.headers[name] for name in fields["SignedHeaders"].split(";")}
        again = AWSRequest("POST", listener.url + asked.path, heads, asked.content)
        again.context["timestamp"] = moment
        signer = SigV4Auth(Credentials("AKIDEXAMPLE", secret, "the-session"), "bedrock", "eu-central-1")
        return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))

    assert fields["Signature"] == signature("the-secret") != signature("another")


@STREAMED
def test_a_binary_stream_of_bedrock_is_read_as_claude_events(way: Way, cloud: Any, listener: Any) -> None:
    data = b"".join(map(frame, CLAUDE_EVENTS))
    pieces = [data[at : at + 100] for at in range(0, len(data), 100)]
    listener.answer(*pieces, content_type="application/vnd.amazon.eventstream")

    with cloud("bedrock", "anthropic.claude-opus-4-8-v1:0", key="k-1", baseUrl=listener.url, region="us-east-1") as joch:
        reply = way(joch, "bedrock:m")

    assert (reply.text, reply.finish, reply.usage.output_tokens) == ("Hello.", "stop", 2)
    assert listener.asked[0].path == "/model/anthropic.claude-opus-4-8-v1:0/invoke-with-response-stream"


def frame(event: dict[str, Any]) -> bytes:
    """One event as Bedrock frames it."""
    name, value = b":event-type", b"chunk"
    head = bytes([len(name)]) + name + bytes([7]) + struct.pack(">H", len(value)) + value
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    return struct.pack(">III", 16 + len(head) + len(payload), len(head), 0) + head + payload + bytes(4)


@WHOLE
def test_a_model_on_bedrock_that_speaks_openai_is_asked_so(way: Way, cloud: Any, listener: Any) -> None:
    listener.answer(json.dumps(CHAT).encode())

    with cloud("bedrock", "openai.gpt-oss-120b-1:0", key="k-1", baseUrl=listener.url + "/openai/v1") as joch:
        reply = way(joch, "bedrock:m")

    (asked,) = listener.asked
    assert reply.text == "Hello."
    assert (asked.path, asked.body["model"]) == ("/openai/v1/chat/completions", "openai.gpt-oss-120b-1:0")


@pytest.mark.parametrize("way", [_call, _acall, _stream, _astream], ids=["call", "acall", "stream", "astream"])
def test_claude_on_vertex_has_project_region_and_model_in_the_path(way: Way, cloud: Any, listener: Any) -> None:
    streamed = way in (_stream, _astream)
    events = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in CLAUDE_EVENTS]
    if streamed:
        listener.answer(*events, content_type="text/event-stream")
    else:
        listener.answer(json.dumps(CLAUDE).encode())
    place = {"baseUrl": listener.url + "/v1", "region": "europe-west1", "options": {"project": "p-1"}}

    with cloud("vertex", "claude-sonnet-4-6", key="token-1", **place) as joch:
        reply = way(joch, "vertex:m")

    (asked,) = listener.asked
    verb = "streamRawPredict" if streamed else "rawPredict"
    folder = "/v1/projects/p-1/locations/europe-west1/publishers/anthropic/models"
    assert reply.text == "Hello."
    assert asked.path == f"{folder}/claude-sonnet-4-6:{verb}"
    assert asked.headers["authorization"] == "Bearer token-1"
    assert asked.body["anthropic_version"]
    assert "model" not in asked.body


@WHOLE
def test_gemini_on_vertex_is_asked_through_googles_sdk(way: Way, cloud: Any, listener: Any) -> None:
    listener.answer(json.dumps(GEMINI).encode())

    with cloud("vertex", "gemini-2.5-pro", key="k-1", baseUrl=listener.url) as joch:
        reply = way(joch, "vertex:m")

    assert reply.text == "Hello."
    assert listener.asked[0].path == "/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent"


@pytest.mark.parametrize(
    ("provider", "model", "status", "body", "kind"),
    [
        ("bedrock", "anthropic.claude-opus-4-8-v1:0", 429, {"message": "Too many requests"}, "rate_limit"),
        ("bedrock", "anthropic.claude-opus-4-8-v1:0", 403, {"Message": "no access"}, "permission"),
        ("azure-openai", "d", 404, {"error": {"code": "DeploymentNotFound", "message": "no such"}}, "not_found"),
        ("vertex", "gemini-2.5-pro", 403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}, "permission"),
    ],
)
def test_a_refusal_of_a_cloud_is_a_typed_fault(
    provider: str, model: str, status: int, body: dict[str, Any], kind: str, cloud: Any, listener: Any
) -> None:
    listener.answer(json.dumps(body).encode(), status=status)

    with (
        cloud(provider, model, key="k-1", baseUrl=listener.url, region="us-east-1") as joch,
        pytest.raises(ProviderError) as caught,
    ):
        joch.call(f"{provider}:m", "hi")

    assert (caught.value.kind, caught.value.status) == (kind, status)
    assert caught.value.message


def test_a_cloud_without_credentials_is_an_authentication_fault_that_sent_nothing(
    cloud: Any, listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with (
        cloud("vertex", "gemini-2.5-pro", baseUrl=listener.url, region="us-east1", options={"project": "p"}) as joch,
        pytest.raises(ProviderError) as caught,
    ):
        joch.call("vertex:m", "hi")

    assert (caught.value.kind, caught.value.sent) == ("authentication", False)
    assert listener.asked == []
