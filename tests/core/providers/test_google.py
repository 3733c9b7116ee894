"""Gemini through google-genai: where a request goes, with what, and what comes back unread. A contract for both majors."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from joch_core.errors import InvalidArgument
from joch_core.providers.base import ClientPool, load_provider
from joch_core.providers.endpoint import Endpoint, Timeouts

genai = pytest.importorskip("google.genai", reason="needs the SDK: pip install 'joch[google]'")

PATH = "/models/gemini-2.5-flash:generateContent"
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "grüß dich"}]}]}
TIMES = Timeouts()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GEMINI_"))]:
        monkeypatch.delenv(name)


def post(endpoint: Endpoint, path: str = PATH, *, asynchronous: bool, provider: str = "google") -> tuple[int, Any, bytes]:
    """One POST through the provider: status, headers, content."""
    spoken, pool = load_provider(provider), ClientPool()

    async def run() -> tuple[int, Any, bytes]:
        response = await spoken.post(await pool.prepared(spoken, endpoint), path, BODY, TIMES)
        gc.collect()  # a client of the SDK that nobody holds closes itself
        content = b"".join([chunk async for chunk in response.aiter_bytes()])
        await response.aclose()
        pool.close()
        return response.status_code, response.headers, content

    if asynchronous:
        return asyncio.run(run())
    response = spoken.post(pool.sync(spoken, endpoint), path, BODY, TIMES)
    gc.collect()
    content = b"".join(response.iter_bytes())
    response.close()
    pool.close()
    return response.status_code, response.headers, content


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@BOTH
def test_the_body_goes_out_as_it_is_and_the_answer_comes_back_as_it_is(listener: Any, asynchronous: bool) -> None:
    listener.answer(b'{"candidates"', b": []}")

    status, headers, content = post(Endpoint("google", listener.url, "k-1"), asynchronous=asynchronous)

    (asked,) = listener.asked
    assert (status, content, headers["content-type"]) == (200, b'{"candidates": []}', "application/json")
    assert asked.body == BODY
    assert asked.headers["x-goog-api-key"] == "k-1"
    assert asked.path.endswith(PATH)
    assert asked.path.removesuffix(PATH) in ("/v1", "/v1beta")  # the SDK's own choice differs between its majors


@BOTH
def test_the_api_version_stands_beside_the_base_url(listener: Any, asynchronous: bool) -> None:
    endpoint = Endpoint("google", listener.url + "/gateway", "k", options={"apiVersion": "v1alpha"})

    post(endpoint, "/models/m:streamGenerateContent?alt=sse", asynchronous=asynchronous)

    assert listener.asked[0].path == "/gateway/v1alpha/models/m:streamGenerateContent?alt=sse"


@BOTH
def test_an_error_comes_back_as_a_response_and_is_sent_once(listener: Any, asynchronous: bool) -> None:
    listener.answer(b'{"error": {"code": 503, "status": "UNAVAILABLE"}}', status=503, retry_after="7")

    status, headers, content = post(Endpoint("google", listener.url, "k"), asynchronous=asynchronous)

    assert (status, headers["retry-after"]) == (503, "7")
    assert json.loads(content)["error"]["status"] == "UNAVAILABLE"
    assert len(listener.asked) == 1


@BOTH
def test_variables_for_vertex_do_not_turn_the_gemini_api_into_it(
    listener: Any, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("GOOGLE_API_KEY", "of the environment")

    post(Endpoint("google", listener.url, "of the model"), asynchronous=asynchronous)

    assert "/projects/" not in listener.asked[0].path
    assert listener.asked[0].headers["x-goog-api-key"] == "of the model"


@BOTH
def test_vertex_in_express_mode_wants_a_key_and_no_project(listener: Any, asynchronous: bool) -> None:
    post(Endpoint("vertex", listener.url, "k-2"), provider="vertex", asynchronous=asynchronous)

    (asked,) = listener.asked
    assert asked.path == "/v1beta1/publishers/google" + PATH
    assert asked.headers["x-goog-api-key"] == "k-2"
    assert "authorization" not in asked.headers


@BOTH
def test_vertex_asks_with_a_token_of_the_default_credentials(
    listener: Any, asynchronous: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, listener.url + "/token")))
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    listener.answer(b'{"access_token": "t-1", "expires_in": 3600}')  # and this is the model's answer, too
    endpoint = Endpoint("vertex", listener.url, region="europe-west1", options={"project": "p-1"})

    post(endpoint, provider="vertex", asynchronous=asynchronous)

    token, asked = listener.asked
    assert token.path == "/token"
    assert asked.path == "/v1beta1/projects/p-1/locations/europe-west1/publishers/google" + PATH
    assert asked.headers["authorization"] == "Bearer t-1"
    assert asked.headers["x-goog-user-project"] == "payer"
    assert asked.body == BODY


def service_account(folder: Path, token_uri: str) -> Path:
    """A file of credentials whose key was made a moment ago."""
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa", reason="needs pip install cryptography")
    from cryptography.hazmat.primitives import serialization

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, style, cipher = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    names = {"type": "service_account", "project_id": "p-0", "client_email": "a@p-0", "private_key_id": "1"}
    file = folder / "credentials.json"
    pem = key.private_bytes(form, style, cipher).decode()
    file.write_text(json.dumps({**names, "token_uri": token_uri, "private_key": pem}))
    return file


def test_time_outs_reach_the_transport(listener: Any) -> None:
    spoken, pool = load_provider("google"), ClientPool()
    client = pool.sync(spoken, Endpoint("google", listener.url, "k"))

    response = spoken.post(client, PATH, BODY, Timeouts(connect_s=3, first_content_s=20, between_chunks_s=30))

    assert response.request.extensions["timeout"] == {"connect": 3, "read": 30, "write": 30, "pool": 30}
    response.close()
    pool.close()


def test_the_sdk_still_has_the_names_that_are_used() -> None:
    api = genai.Client(api_key="k", vertexai=False)._api_client

    asked = api._build_request("post", "models/m:generateContent", {"a": 1})

    assert (asked.data, asked.headers["x-goog-api-key"]) == ({"a": 1}, "k")
    assert asked.url.endswith("/models/m:generateContent")
    assert asyncio.iscoroutinefunction(api._async_access_token)
    assert callable(api._access_token)
    assert {"vertexai", "project", "location", "api_key", "_credentials"} <= vars(api).keys()


def test_no_sdk_is_imported_before_a_client_is_made() -> None:
    names = ["openai", "openai-compatible", "azure-openai", "anthropic", "google", "bedrock", "vertex"]
    program = (
        "import sys; from joch_core.providers.base import load_provider;"
        f"[load_provider(name) for name in {names}];"
        "print(sorted({'openai', 'anthropic', 'google.genai', 'httpx', 'httpx2'} & sys.modules.keys()))"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout.strip() == "[]"


def test_an_unknown_provider_names_the_nearest() -> None:
    with pytest.raises(InvalidArgument, match="did you mean 'google'"):
        load_provider("gogle")
