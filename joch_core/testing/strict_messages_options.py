"""What Anthropic Messages refuses about tools and options, and the list of all its rules. Pure."""

from __future__ import annotations

import re

from joch_core.messages import Json
from joch_core.testing import models
from joch_core.testing import strict_messages as conversation
from joch_core.testing.errors import Rejection
from joch_core.testing.strict_schema import anthropic_strict

#: https://docs.claude.com/en/api/messages and its beta fields
_FIELDS = {
    "billing_policy", "cache_control", "compaction", "container", "context_management", "diagnostics", "fallback_credit_token",
    "fallbacks", "inference_geo", "max_tokens", "mcp_servers", "messages", "metadata", "model", "output_config", "output_format",
    "service_tier", "speed", "stop_sequences", "stream", "system", "temperature", "thinking", "thread", "tool_choice", "tools",
    "top_k", "top_p", "user_profile_id", "workspace_id",
}  # fmt: skip
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def unknown_fields(body: Json) -> Rejection | None:
    """Only documented fields."""
    for name in body:
        if name not in _FIELDS:
            return Rejection(f"{name}: Extra inputs are not permitted")
    return None


def tools(body: Json) -> Rejection | None:
    """Custom tools are well named, once each, and their schemas are objects without branches at the top."""
    names = []
    for index, tool in enumerate(body.get("tools") or ()):
        if tool.get("type", "custom") != "custom":
            continue
        place = f"tools.{index}.custom"
        if not _NAME.fullmatch(str(tool.get("name") or "")):
            return Rejection(f"{place}.name: String should match pattern '^{_NAME.pattern}$'")
        names.append(tool["name"])
        schema = tool.get("input_schema")
        if not isinstance(schema, dict):
            return Rejection(f"{place}.input_schema: Field required")
        if schema.get("type") is None:
            return Rejection(f"{place}.input_schema.type: Field required")
        if schema["type"] != "object":
            return Rejection(f"{place}.input_schema.type: Input should be 'object'")
        if any(key in schema for key in ("oneOf", "allOf", "anyOf")):
            return Rejection(f"{place}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
        for name in schema.get("properties") or ():
            if not _KEY.fullmatch(name):
                return Rejection(f"{place}.input_schema.properties: Property keys should match pattern '^{_KEY.pattern}$'")
        why = anthropic_strict(schema) if tool.get("strict") is True else None
        if why is not None:
            return Rejection(f"{place}.input_schema: {why}")
    if len(set(names)) != len(names):
        return Rejection("tools: Tool names must be unique.")
    return None


def tool_choice(body: Json) -> Rejection | None:
    """A choice stands with tools, is an object, and forces nothing while the model thinks."""
    choice = body.get("tool_choice")
    if choice is None:
        return None
    if not isinstance(choice, dict):
        return Rejection("tool_choice: Input should be a valid dictionary or object to extract fields from")
    kind = choice.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        return Rejection(
            f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
        )
    if not body.get("tools") and not body.get("mcp_servers"):
        return Rejection("tool_choice: Tool choice may only be specified while providing tools.")
    if kind == "tool" and choice.get("name") not in [tool.get("name") for tool in body.get("tools") or ()]:
        return Rejection(f"Tool '{choice.get('name')}' not found in provided tools")
    if kind in ("any", "tool"):
        if (body.get("thinking") or {}).get("type") == "enabled":
            return Rejection("Thinking may not be enabled when tool_choice forces tool use.")
        if models.claude(body["model"])[0] in ("fable", "mythos"):
            return Rejection("tool_choice forces tool use is not supported on this model.")
    return None


def sampling(body: Json) -> Rejection | None:
    """Newest models take no sampling options, newer ones one of two, and thinking wants temperature 1."""
    temperature, top_p = body.get("temperature"), body.get("top_p")
    if temperature is not None and not 0 <= temperature <= 1:
        return Rejection("temperature: range: 0..1")
    given = [name for name in ("temperature", "top_p", "top_k") if body.get(name) is not None]
    family, version = models.claude(body["model"])
    if given and (family in ("fable", "mythos") or (family == "opus" and version >= (4, 7))):
        return Rejection(f"`{given[0]}` is deprecated for this model.")
    if temperature is not None and top_p is not None and version >= (4, 5):
        return Rejection("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive") and temperature not in (None, 1):
        return Rejection("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
    for index, stop in enumerate(body.get("stop_sequences") or ()):
        if not stop.strip():
            return Rejection(f"stop_sequences.{index}: each stop sequence must contain non-whitespace")
    return None


_MOST = {(3, 0): 4_096, (3, 5): 8_192, (4, 0): 64_000, (4, 5): 64_000}


def lengths(body: Json) -> Rejection | None:
    """Output tokens: at least one, at most what the model can give, and more than the thinking budget."""
    most, budget = body["max_tokens"], (body.get("thinking") or {}).get("budget_tokens")
    if most < 1:
        return Rejection("max_tokens: Input should be greater than or equal to 1")
    limit = _MOST.get(models.claude(body["model"])[1])
    if limit is not None and most > limit:
        return Rejection(
            f"max_tokens: {most} > {limit}, which is the maximum allowed number of output tokens for {body['model'].partition('+')[0]}"
        )
    if budget is not None and budget < 1024:
        return Rejection("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget is not None and budget >= most:
        return Rejection("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return None


def thinking(body: Json) -> Rejection | None:
    """How the model is told to think: older ones by a budget, newest ones adaptively."""
    kind = (body.get("thinking") or {}).get("type")
    if kind is None:
        return None
    family, version = models.claude(body["model"])
    newest = family in ("fable", "mythos") or (family == "opus" and version >= (4, 7)) or version >= (5, 0)
    if kind == "enabled":
        if body["thinking"].get("budget_tokens") is None:
            return Rejection("thinking.enabled.budget_tokens: Field required")
        if newest:
            sentence = (
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to '
                "control thinking behavior."
            )
            return Rejection(sentence)
    if kind == "adaptive" and family and not newest and version < (4, 6):
        return Rejection("adaptive thinking is not supported on this model")
    return None


def structured_output(body: Json) -> Rejection | None:
    """The schema of a structured output closes its objects and has no limits."""
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if form.get("type") != "json_schema":
        return None
    place = "output_config.format" if "output_config" in body else "output_format"
    if not isinstance(form.get("schema"), dict):
        return Rejection(f"{place}.schema: Field required")
    why = anthropic_strict(form["schema"])
    return Rejection(f"{place}.schema: {why}") if why else None


def effort(body: Json) -> Rejection | None:
    """`xhigh` is for the newest models."""
    level = (body.get("output_config") or {}).get("effort")
    if level is not None and level not in ("low", "medium", "high", "xhigh", "max"):
        return Rejection("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if level == "xhigh" and not models.newest_claude(body["model"], (4, 7)):
        return Rejection("This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.")
    return None


def cache_marks(body: Json) -> Rejection | None:
    """At most four cache marks."""
    system = body.get("system")
    marked = [
        *(block for _, _, block in conversation.blocks(body)),
        *(system if isinstance(system, list) else ()),
        *(body.get("tools") or ()),
    ]
    count = sum(block.get("cache_control") is not None for block in marked)
    count += sum(
        item.get("cache_control") is not None
        for block in marked
        if isinstance(block.get("content"), list)
        for item in block["content"]
        if isinstance(item, dict)
    )
    return Rejection(f"A maximum of 4 blocks with cache_control may be provided. Found {count}.") if count > 4 else None


RULES = (
    conversation.shape, unknown_fields, conversation.roles, conversation.block_kinds, conversation.identifiers,
    conversation.empty_content, conversation.orphaned_results, conversation.unanswered_calls, conversation.thinking_blocks,
    conversation.thinking_first, conversation.pictures, conversation.last_turn, tools, tool_choice, sampling, lengths, thinking,
    effort, structured_output, cache_marks,
)  # fmt: skip
TOKENS = (conversation.foreign_thinking,)
