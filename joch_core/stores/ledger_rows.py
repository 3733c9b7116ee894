"""The rows of the ledger: how a tool call stands in a claim, its events, and what an operator sees and decides.

States of a claim: `started`, `completed`, `failed` (known not done: it may run again), `in_doubt`, `resolved`. Nothing here runs
a tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from joch_core.errors import InvalidArgument, NotFound
from joch_core.messages import Json
from joch_core.redaction import redact
from joch_core.resources.commits import Artifact, Claim, Commit
from joch_core.resources.effect_keys import plain, shelved, unshelved
from joch_core.resources.events import Draft, conversation_log, instant
from joch_core.stores.base import Store
from joch_core.stores.owners import is_dead

Phase = Literal["Requested", "Running", "Succeeded", "Failed", "Unknown"]

API_VERSION = "joch.dev/v1alpha1"
#: Characters of JSON that are kept of arguments, and in the row of a result; a longer result is an artifact.
MAX_ARGS_CHARACTERS = 64 * 1024
MAX_RESULT_CHARACTERS = 1024 * 1024
#: Of what is longer than this only the beginning is kept.
MAX_ARTIFACT_BYTES = 64 * 1024 * 1024
_MAX_ERROR_CHARACTERS = 2000
_ATTEMPTS = 8


def requested(claim: Claim, call_id: str) -> Draft:
    """The event of a call that starts now."""
    value = claim.value
    payload = {
        name: value[name]
        for name in (
            "tool", "toolVersion", "args", "effect", "idempotent", "epoch", "position", "occurrence", "attempt", "subject",
            "process", "forced", "approvedBy",
        )
        if value.get(name) is not None
    }  # fmt: skip
    return Draft("ToolCallRequested", {"key": claim.key, "callId": call_id, **payload}, value.get("execution"))


def ended(claim: Claim, *, call_id: str | None = None, deduplicated: bool = False, process: str | None = None) -> Draft:
    """The event of a call that has ended, or that is answered by one which has."""
    value = claim.value
    payload: Json = {
        "key": claim.key,
        "callId": value["callId"] if call_id is None else call_id,
        "tool": value["tool"],
        "effect": value["effect"],
        "phase": phase(claim),
    }
    payload.update({name: value[name] for name in ("output", "error", "late") if name in value})
    if deduplicated:
        payload["deduplicated"] = True
        payload["process"] = process
    return Draft("ToolCallCompleted", payload, value.get("execution"))


def phase(claim: Claim) -> Phase:
    """The phase of the `ToolCall`."""
    match claim.state:
        case "started":
            return "Running"
        case "completed":
            return "Succeeded"
        case "failed":
            return "Failed"
        case "in_doubt":
            return "Unknown"
    return "Succeeded" if claim.value.get("resolution") == "done" else "Failed"


def may_run_again(claim: Claim) -> bool:
    """Is it certain that this call did nothing?"""
    return claim.state == "failed" or (claim.state == "resolved" and claim.value.get("resolution") == "not_done")


def changed(claim: Claim, state: str, at: datetime, **fields: Any) -> Claim:
    """The claim after its next change."""
    value = {**claim.value, **fields}
    if state != "started":
        value["completedAt"] = instant(at)
    return replace(claim, state=state, value=value, version=claim.version + 1)


def in_doubt(store: Store, namespace: str, claim: Claim, at: datetime, why: str) -> Claim:
    """Put a started call in doubt; gives the claim as it then stands, whoever changed it."""
    wanted = changed(claim, "in_doubt", at, error=why)
    return swap(store, namespace, wanted, at)


def swap(store: Store, namespace: str, wanted: Claim, at: datetime, artifact: Artifact | None = None) -> Claim:
    """Write a change with its event; if somebody else was faster, his claim comes back in place of ours."""
    drafts: tuple[Draft, ...] = (ended(wanted),)
    if artifact is not None:
        payload: Json = {
            "ref": artifact.ref,
            "mediaType": artifact.media_type,
            "bytes": len(artifact.data),
            "sha256": artifact.digest,
            "by": "tool",
        }
        drafts = (Draft("ArtifactCreated", payload, wanted.value.get("execution")), *drafts)
    artifacts = () if artifact is None else (artifact,)
    commit = Commit(conversation_log(wanted.conversation or ""), drafts, swaps=(wanted,), artifacts=artifacts)
    refused = store.commit(namespace, commit, at).refused
    return refused if isinstance(refused, Claim) else wanted


def kept(value: Any) -> tuple[Json, Artifact | None]:
    """A result as fields of its row, and the artifact that holds it if it is a large one."""
    output, artifact = shelved(value, MAX_RESULT_CHARACTERS, MAX_ARTIFACT_BYTES)
    return {"output": output, **({} if artifact is None else {"artifact": artifact.digest})}, artifact


def output_of(store: Store, namespace: str, claim: Claim) -> Any:
    """The result of a call that has ended; a large one from its artifact, or the note about it if that is gone."""
    digest = claim.value.get("artifact")
    artifact = None if digest is None else store.artifact(namespace, digest)
    return claim.value.get("output") if artifact is None else unshelved(artifact)


def error_text(error: BaseException) -> str:
    """An exception of a tool as the ledger keeps it."""
    return redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARACTERS]


def mark_dead(store: Store, namespace: str, at: datetime) -> None:
    """Put every started call whose owner is dead in doubt."""
    for claim in store.claims(namespace, state="started"):
        if is_dead(claim.owner, claim.lease_until, at.timestamp()):
            in_doubt(store, namespace, claim, at, "the process that ran it has ended")


def calls(store: Store, namespace: str, at: datetime, *, in_doubt_only: bool = False) -> Sequence[Json]:
    """The ledger as `ToolCall` resources, oldest first. The calls of dead owners are marked first.

    Raises:
        StoreError: the store cannot be read or written.
    """
    mark_dead(store, namespace, at)
    return [as_resource(namespace, claim) for claim in store.claims(namespace, state="in_doubt" if in_doubt_only else None)]


def as_resource(namespace: str, claim: Claim) -> Json:
    """One row as a `ToolCall` resource; `metadata.name` is the key."""
    value = claim.value
    spec: Json = {
        "conversationRef": {"name": claim.conversation},
        "toolRef": {"name": value["tool"]},
        "input": value["args"],
        "sideEffects": {
            "level": value["effect"],
            "idempotent": value["idempotent"],
            "idempotencyKey": claim.key,
        },
    }
    if value.get("execution"):
        spec = {"executionRef": {"name": value["execution"]}, **spec}
    status: Json = {"phase": phase(claim), "attempt": value["attempt"], "callId": value["callId"]}
    status.update({name: value[name] for name in ("startedAt", "completedAt", "output", "error") if name in value})
    status.update({name: value[name] for name in ("forced", "approvedBy") if value.get(name)})
    if "artifact" in value:
        status["artifactRef"] = f"artifact://sha256/{value['artifact']}"
    if claim.state == "resolved":
        status["resolution"] = value["resolution"]
    metadata = {"name": claim.key, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "ToolCall", "metadata": metadata, "spec": spec, "status": status}


def resolve(
    store: Store, namespace: str, key: str, outcome: Literal["done", "not_done"], at: datetime, *, result: Any = None
) -> Json:
    """Say how a call in doubt has ended; gives its `ToolCall`.

    `done`: later callers get `result`, and it never runs again. `not_done`: the next caller may run it.

    Raises:
        NotFound: no call has this key.
        InvalidArgument: the call is not in doubt.
    """
    if outcome not in ("done", "not_done"):
        raise InvalidArgument(f"the outcome is done or not_done, not {outcome!r}")
    for _ in range(_ATTEMPTS):
        claim = store.claim(namespace, key)
        if claim is None:
            raise NotFound(f"no tool call has the key {key!r} in namespace {namespace!r}; joch calls ls lists them")
        if claim.state == "started" and is_dead(claim.owner, claim.lease_until, at.timestamp()):
            claim = in_doubt(store, namespace, claim, at, "the process that ran it has ended")
        if claim.state != "in_doubt":
            raise InvalidArgument(f"the call {key} is not in doubt: its phase is {phase(claim)}")
        fields, artifact = kept(plain(result)) if outcome == "done" else ({}, None)
        wanted = changed(claim, "resolved", at, resolution=outcome, **fields)
        if swap(store, namespace, wanted, at, artifact) is wanted:
            return as_resource(namespace, wanted)
    raise InvalidArgument(f"the call {key} keeps changing; look at it again")
