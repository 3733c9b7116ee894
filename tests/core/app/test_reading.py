"""Who issued the opaque tokens of a body that was kept elsewhere."""

from __future__ import annotations

from pathlib import Path

from joch_core import Joch, read_request

BODY = {
    "model": "claude-sonnet-4-6", "max_tokens": 2000,
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "So.", "signature": "c2ln"},
            {"type": "text", "text": "Hello."},
        ]},
        {"role": "user", "content": "go on"},
    ],
}  # fmt: skip


def test_thoughts_go_back_to_a_model_of_ones_own_that_issued_them(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "apiVersion: joch.dev/v1alpha1\nkind: Model\nmetadata: {name: mine}\n"
        "spec: {provider: anthropic, model: claude-sonnet-4-6, endpoint: {baseUrl: 'https://gateway.example'}}\n"
    )
    with Joch(store="sqlite:///:memory:", resources=tmp_path) as joch:
        own = joch.read_request("anthropic-messages", BODY, "anthropic:mine")
        of_the_vendor = read_request("anthropic-messages", BODY, "anthropic:claude-sonnet-4-6")

        def thoughts(request: object) -> list[object]:
            sent = joch.preview(request=request, to="anthropic:mine")["messages"]  # type: ignore[arg-type]
            said = sent[1]["content"]
            return [] if isinstance(said, str) else [block for block in said if block["type"] == "thinking"]

        assert thoughts(own) == [BODY["messages"][1]["content"][0]]  # type: ignore[index]
        assert thoughts(of_the_vendor) == []
