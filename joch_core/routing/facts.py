"""The events that one call leaves behind, as drafts. Pure; the field names are listed in `resources.events`."""

from __future__ import annotations

from collections.abc import Iterator

from joch_core.capabilities import Gap, Target
from joch_core.errors import Attempt
from joch_core.messages import Json, Reply
from joch_core.resources.events import Draft
from joch_core.routing.candidates import Selection, Verdict


def usd(micro_usd: int) -> str:
    """Micro-USD as the decimal string of an event."""
    return f"{micro_usd / 1_000_000:.6f}"


def started(verdict: Verdict, target: Target, requests: int, *, owner: str = "", lease_until: float = 0.0) -> Draft:
    """A request goes out; `requests` were sent in this call before it.

    In a conversation it says who waits for the answer, and until when (seconds since the epoch): nobody else may write.
    """
    payload: Json = {
        "backend": verdict.backend,
        "provider": target.provider,
        "model": target.model,
        "region": _region(target),
        "attempt": requests + 1,
        "fallbackIndex": verdict.index,
    }
    if owner:
        payload |= {"owner": owner, "leaseUntil": round(lease_until)}
    if verdict.bound is not None and verdict.bound.micro_usd is not None:
        payload["worstCaseUsd"] = usd(verdict.bound.micro_usd)
    return Draft("ModelCallStarted", payload, model=verdict.backend)


def failed(verdict: Verdict, target: Target, attempt: Attempt, latency_ms: int) -> Draft:
    """A request failed."""
    facts = {"provider": target.provider, "model": target.model, "latencyMs": latency_ms}
    return Draft("ModelCallFailed", {**attempt.as_json(), **facts}, model=verdict.backend)


def completed(
    verdict: Verdict, target: Target, reply: Reply, *, route: str, cost: int | None, latency_ms: int, requests: int
) -> Draft:
    """An answer came; `cost` is micro-USD."""
    usage = reply.usage
    payload: Json = {
        "backend": verdict.backend,
        "provider": target.provider,
        "model": reply.model,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "cacheReadTokens": usage.cache_read_tokens,
        "cacheWriteTokens": usage.cache_write_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "costUsd": None if cost is None else usd(cost),
        "latencyMs": latency_ms,
        "region": _region(target),
        "finish": reply.finish,
        "fallbackIndex": verdict.index,
        "route": route,
        "requests": requests,
    }
    known = {name: value for name, value in payload.items() if value is not None}
    return Draft("ModelCallCompleted", known, model=verdict.backend)


def execution_ended(*, cost: int, model_calls: int, tool_calls: int = 0, error: str | None = None) -> Draft:
    """The end of an execution; `cost` is micro-USD."""
    payload: Json = {"costUsd": usd(cost), "modelCalls": model_calls, "toolCalls": tool_calls}
    if error is not None:
        return Draft("ExecutionFailed", {**payload, "error": error})
    return Draft("ExecutionSucceeded", payload)


def refusals(selection: Selection) -> Iterator[Draft]:
    """One event for every candidate that policy or money excludes: each decision can be read afterwards."""
    for verdict in selection.verdicts:
        if verdict.outcome != "denied":
            continue
        if verdict.trigger == "policy":
            policy, _, rule = verdict.code.removeprefix("policy:").partition("/")
            payload = {"backend": verdict.backend, "policy": policy, "rule": rule, "reason": verdict.reason}
            yield Draft("PolicyDenied", payload)
        else:
            yield Draft("BudgetExceeded", {"backend": verdict.backend, "code": verdict.code, "reason": verdict.reason})


def left(backend: str) -> Draft:
    """The caller did not wait for the end of the answer."""
    return Draft("StreamInterrupted", {"backend": backend, "reason": "the caller left before the answer was complete"})


def switched(source: str | None, target: str, reason: str, checkpoint: str | None, gaps: tuple[Gap, ...]) -> Draft:
    """The conversation (or a call without one) goes on at another backend."""
    payload: Json = {
        "fromProvider": source,
        "toProvider": target,
        "checkpointRef": checkpoint,
        "reason": reason,
        "capabilityDeltas": [gap.as_json() for gap in gaps if gap.level != "ok"],
    }
    return Draft("ProviderSwitched", payload)


def applied(checkpoint: str, backend: str) -> Draft:
    """The new backend receives this checkpoint."""
    return Draft("CheckpointApplied", {"name": checkpoint, "backend": backend})


def _region(target: Target) -> str | None:
    return ",".join(target.regions) or None
