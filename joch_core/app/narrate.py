"""Events as sentences for people. Pure; the command line, the demo and notebooks show the same words."""

from __future__ import annotations

from joch_core.messages import Json
from joch_core.resources.events import Event

_TEXT_CHARS = 100


def short(text: str, chars: int = _TEXT_CHARS) -> str:
    """One line, cut at a length, with the cut shown."""
    line = " ".join(text.split())
    return line if len(line) <= chars else line[: chars - 1] + "…"


def narrate(event: Event) -> str:  # one case per type, each a line
    """What happened, in one line (a second one where a switch lost something)."""
    payload = event.payload
    match event.type:
        case "ExecutionCreated":
            return f"execution {event.execution} created"
        case "ExecutionStarted":
            return f"execution {event.execution} started"
        case "ExecutionSucceeded" | "ExecutionFailed":
            how = "succeeded" if event.type.endswith("Succeeded") else f"failed: {payload.get('error')}"
            return (
                f"execution {event.execution} {how}, {payload.get('modelCalls', 0)} requests, ${payload.get('costUsd', '0')}"
            )
        case "MessageAdded":
            return _message(payload)
        case "RouteDecided":
            rows = ", ".join(f"{row['backend']} {row['verdict']}" for row in payload.get("candidates", ()))
            return f"route {payload.get('route')}: {rows}"
        case "ToolsOffered":
            return f"tools offered: {', '.join(tool['name'] for tool in payload['tools'])}"
        case "CandidateSkipped":
            return f"{payload['backend']} skipped ({payload['code']}): {payload['reason']}"
        case "ModelCallStarted":
            return f"request to {payload['backend']} ({payload['model']})"
        case "ModelCallCompleted":
            tokens = f"{payload.get('inputTokens', '?')} in, {payload.get('outputTokens', '?')} out"
            cost = f", ${payload['costUsd']}" if payload.get("costUsd") else ""
            return f"{payload['backend']} answered ({payload['finish']}; {tokens}{cost}, {payload['latencyMs']} ms)"
        case "ModelCallFailed":
            status = f" {payload['status']}" if payload.get("status") else ""
            return f"{payload['backend']} failed: {payload['kind']}{status} {short(payload.get('message', ''))}"
        case "ProviderSwitched":
            return _switched(payload)
        case "CheckpointCreated":
            return f"checkpoint {payload['name']} created"
        case "CheckpointApplied":
            return f"checkpoint {payload['name']} applied to {payload['backend']}"
        case "ToolCallRequested":
            return f"tool {payload['tool']} started ({payload.get('effect', 'effect unknown')}, key {short(payload['key'], 20)})"
        case "ToolCallCompleted":
            again = ", already done: the stored result was given" if payload.get("deduplicated") else ""
            return f"tool {payload['tool']} {payload['phase'].lower()}{again}"
        case "HistoryRewritten":
            return f"the caller rewrote the history; the first {payload['keep']} messages still stand"
        case "StreamInterrupted":
            return f"the stream of {payload['backend']} broke: {short(payload['reason'])}"
        case "PolicyDenied":
            what = payload.get("backend") or payload.get("tool")
            return f"policy {payload['policy']} (rule {payload['rule']}) denies {what}: {payload['reason']}"
        case "BudgetExceeded":
            return f"budget: {payload.get('backend')}: {payload.get('reason', '')}"
        case "GraphStep":
            return _step(payload)
        case "QuestionAnswered":
            return f"question {payload['id']} answered: {short(payload.get('text', ''))}"
        case _:
            return _record(event.type, payload)


def _message(payload: Json) -> str:
    message = payload["message"]
    texts = [part["text"] for part in message["parts"] if part["type"] == "text"]
    calls = [f"{part['name']}(…)" for part in message["parts"] if part["type"] == "tool_call"]
    results = sum(part["type"] == "tool_result" for part in message["parts"])
    others = sorted({part["type"] for part in message["parts"]} - {"text", "tool_call", "tool_result"})
    said = [*(short(text) for text in texts if text), *(f"calls {call}" for call in calls)]
    if results:
        said.append(f"{results} tool result" + ("s" if results > 1 else ""))
    who = payload.get("backend") or message["role"]
    return f"{who}: {'; '.join(said + others) or '(empty)'}"


def _step(payload: Json) -> str:
    inner = f" of {payload['namespace'].partition(':')[0]}" if payload["namespace"] else ""
    ran = [*payload["nodes"], *([f"{payload['sent']} sent tasks"] if payload["sent"] else [])]
    did = (
        f"ran {', '.join(ran)}" if ran else {"input": "took its input", "loop": "began"}.get(payload["source"], "was edited")
    )
    return f"step {payload['step']}: the graph{inner} {did}"


def _switched(payload: Json) -> str:
    checkpoint = f", checkpoint {payload['checkpointRef']}" if payload.get("checkpointRef") else ""
    line = f"provider switched: {payload['fromProvider']} → {payload['toProvider']} ({payload['reason']}{checkpoint})"
    deltas = payload.get("capabilityDeltas") or ()
    return line + "".join(f"\n{mark(delta['level'])} {delta['text']}" for delta in deltas)


def mark(level: str) -> str:
    """`✓ ⚠ ✗` for ok, warn, fail."""
    return {"ok": "✓", "warn": "⚠", "fail": "✗"}[level]


_NAMES = {
    "DecisionRecorded": "decision", "GoalSet": "goal", "TaskSet": "task", "QuestionAsked": "question", "Pinned": "pinned",
    "ArtifactCreated": "artifact", "MemoryWritten": "memory", "MemoryRead": "memory read", "HookDecision": "hook",
}  # fmt: skip


def _record(type_: str, payload: Json) -> str:
    said = payload.get("text") or payload.get("ref") or payload.get("reason") or ""
    ref = f"{payload['ref']} " if payload.get("ref") and payload.get("text") else ""
    return f"{_NAMES.get(type_, type_)}: {ref}{short(str(said))}".rstrip(": ")
