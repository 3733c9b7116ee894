"""A trace as one web page that needs nothing else: no script, no font, no request. Pure.

Every event is a `<details>` element, so that a keyboard, a screen reader and a phone open it as they open any other. All text
is escaped, and the page forbids itself every source but its own style (`Content-Security-Policy`): what a model or a tool wrote
stays data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from importlib.resources import files

from joch_core.app.narrate import mark, narrate
from joch_core.messages import Json
from joch_core.resources.events import Event, instant

#: The lanes that every trace has: who drives the agent, what Joch decided, what the tools did.
_HOST, _JOCH, _TOOLS = "agent", "joch", "tools"

_LANES = {
    "MessageAdded": _HOST, "ToolsOffered": _HOST, "GraphStep": _HOST, "HistoryRewritten": _HOST,
    "ToolCallRequested": _TOOLS, "ToolCallCompleted": _TOOLS,
}  # fmt: skip

#: These cross all lanes: from here on another provider has the conversation.
_BANDS = {"ProviderSwitched", "CheckpointCreated", "CheckpointApplied"}
_BAD = {"ModelCallFailed", "StreamInterrupted", "PolicyDenied", "BudgetExceeded", "CandidateSkipped", "ExecutionFailed"}


def page(title: str, events: Sequence[Event]) -> str:
    """The whole document. `events` oldest first, of one conversation or one execution."""
    lanes = _lanes(events)
    style = files("joch_core.app").joinpath("page.css").read_text(encoding="utf-8")
    rows = "\n".join(_row(number, event, lanes) for number, event in enumerate(events, 1))
    heads = "".join(f'<span class="head" style="grid-column:{n + 2}">{escape(lane)}</span>' for n, lane in enumerate(lanes))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{escape(title)} · Joch trace</title>
<style>{style}</style>
</head>
<body style="--lanes:{len(lanes)}">
<a class="skip" href="#switches">Skip to the first switch</a>
<header><h1>{escape(title)}</h1>{_summary(events)}</header>
<main>
{_chart(events, lanes)}
<div class="heads" aria-hidden="true"><span class="head" style="grid-column:1">UTC</span>{heads}</div>
<ol class="log" aria-label="Events, oldest first">
{rows}
</ol>
</main>
</body>
</html>
"""


def _lanes(events: Iterable[Event]) -> list[str]:
    backends = dict.fromkeys(
        event.payload["backend"]
        for event in events
        if event.type in {"ModelCallStarted", "ModelCallCompleted", "ModelCallFailed"} and event.payload.get("backend")
    )
    return [_HOST, _JOCH, *backends, _TOOLS]


def _lane(event: Event, lanes: Sequence[str]) -> str:
    backend = event.payload.get("backend")
    if event.type in _LANES and not (event.type == "MessageAdded" and backend in lanes):
        return _LANES[event.type]
    return str(backend) if backend in lanes else _JOCH


def _summary(events: Sequence[Event]) -> str:
    answered = [event.payload for event in events if event.type == "ModelCallCompleted"]
    cost = sum((Decimal(payload["costUsd"]) for payload in answered if payload.get("costUsd") is not None), Decimal(0))
    tokens = sum((payload.get("inputTokens") or 0) + (payload.get("outputTokens") or 0) for payload in answered)
    unpriced = sum(payload.get("costUsd") is None for payload in answered)
    facts = [
        (len(events), "events"),
        (len(answered), "answers"),
        (sum(event.type == "ModelCallFailed" for event in events), "failed requests"),
        (sum(event.type == "ToolCallRequested" for event in events), "guarded tool calls"),
        (f"{tokens:,}", "tokens"),
        (f"${cost}" + (f" and {unpriced} without a price" if unpriced else ""), "cost"),
    ]
    switches = [event for event in events if event.type == "ProviderSwitched"]
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for value, name in facts)
    links = "".join(
        f'<li><a href="#event-{number}">{escape(_switch_name(event))}</a></li>'
        for number, event in enumerate(events, 1)
        if event.type == "ProviderSwitched"
    )
    listed = f"<ul>{links}</ul>" if switches else "<p>The provider never changed.</p>"
    return f'<dl class="facts">{cells}</dl><nav id="switches" aria-label="Switches"><h2>Switches</h2>{listed}</nav>'


def _switch_name(event: Event) -> str:
    payload = event.payload
    return f"{instant(event.at)[11:19]} {payload['fromProvider']} → {payload['toProvider']} ({payload['reason']})"


# ------------------------------------------------------------------------------------------------------------- rows


def _row(number: int, event: Event, lanes: Sequence[str]) -> str:
    band = event.type in _BANDS
    lane = _lane(event, lanes)
    column = "2 / -1" if band else str(lanes.index(lane) + 2)
    kinds = " ".join(
        name
        for name, on in (("band", band), ("switch", event.type == "ProviderSwitched"), ("bad", event.type in _BAD))
        if on
    )
    first, *more = narrate(event).split("\n")
    gaps = "".join(f'<span class="gap">{escape(line)}</span>' for line in more)
    said = f'<span class="what">{escape(first)}</span>{gaps}'
    label = f'<b class="lane">{escape(lane)}</b> <i>{escape(event.type)}</i>'
    return (
        f'<li id="event-{number}" class="row {kinds}"><time datetime="{instant(event.at)}">{instant(event.at)[11:23]}</time>'
        f'<details style="grid-column:{column}"><summary>{label}{said}</summary>{_body(event)}</details></li>'
    )


def _body(event: Event) -> str:
    payload = event.payload
    match event.type:
        case "RouteDecided":
            shown = _table(payload.get("candidates", ()), ("backend", "verdict", "code", "reason", "worstCaseUsd"))
        case "ProviderSwitched":
            deltas = [{"": mark(row["level"]), **row} for row in payload.get("capabilityDeltas") or ()]
            shown = _table(deltas, ("", "code", "text"))
        case "ToolCallRequested":
            effect = payload.get("effect", "unknown")
            shown = f"<p>Effect: <b>{escape(effect)}</b></p>{_pre(payload.get('args'))}"
        case "ToolCallCompleted":
            again = " The stored result was given; the tool did not run again." if payload.get("deduplicated") else ""
            shown = f"<p>State: <b>{escape(payload['phase'])}</b>.{again}</p>{_pre(payload.get('output'))}"
        case "CheckpointCreated":
            shown = f"<p>What the new provider was told:</p>{_outline(payload.get('spec', {}))}"
        case "MessageAdded":
            texts = [part["text"] for part in payload["message"]["parts"] if part["type"] == "text" and part["text"]]
            shown = "".join(f"<pre>{escape(text)}</pre>" for text in texts)
        case _:
            shown = ""
    where = " · ".join(
        f"{name} {value}" for name, value in (("execution", event.execution), ("agent", event.agent)) if value is not None
    )
    place = f'<p class="where">event {event.sequence or "-"}{escape(" · " + where if where else "")}</p>'
    return f'<div class="body">{shown}{place}<details><summary>As stored</summary>{_pre(payload)}</details></div>'


def _table(rows: Iterable[Json], columns: Sequence[str]) -> str:
    shown = list(rows)
    used = [name for name in columns if any(row.get(name) not in (None, "") for row in shown)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in used)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(row.get(name, '')))}</td>" for name in used) + "</tr>" for row in shown
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>' if used else ""


def _outline(value: object) -> str:
    """A document as nested lists: names on the left, texts as they are."""
    match value:
        case dict():
            cells = (f"<dt>{escape(str(name))}</dt><dd>{_outline(inner)}</dd>" for name, inner in value.items())
            return f"<dl>{''.join(cells)}</dl>"
        case list() | tuple():
            return f"<ul>{''.join(f'<li>{_outline(inner)}</li>' for inner in value)}</ul>"
        case _:
            return escape(str(value))


def _pre(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, ensure_ascii=False, indent=2, default=str))}</pre>"


# ------------------------------------------------------------------------------------------------------------ chart

_WIDTH, _HEIGHT = 1000, 120


def _chart(events: Sequence[Event], lanes: Sequence[str]) -> str:
    """Tokens of each answer as bars, in the colour of its lane; what was spent so far as a line."""
    answers = [event for event in events if event.type == "ModelCallCompleted"]
    if not answers:
        return ""
    tokens = [(event.payload.get("inputTokens") or 0) + (event.payload.get("outputTokens") or 0) for event in answers]
    spent, costs = Decimal(0), []
    for event in answers:
        spent += Decimal(event.payload.get("costUsd") or 0)
        costs.append(spent)
    top, dearest, step = max(*tokens, 1), max(spent, Decimal("0.000001")), _WIDTH / len(answers)
    bars = "".join(
        f'<rect x="{n * step + step * 0.15:.1f}" y="{_HEIGHT - count / top * _HEIGHT:.1f}" width="{step * 0.7:.1f}" '
        f'height="{count / top * _HEIGHT:.1f}" class="lane-{lanes.index(_lane(event, lanes)) % 6}">'
        f"<title>{escape(event.payload['backend'])}: {count:,} tokens, ${event.payload.get('costUsd') or '?'}</title></rect>"
        for n, (event, count) in enumerate(zip(answers, tokens, strict=True))
    )
    points = " ".join(
        f"{(n + 0.5) * step:.1f},{_HEIGHT - float(cost / dearest) * (_HEIGHT - 4):.1f}" for n, cost in enumerate(costs)
    )
    label = f"Tokens of {len(answers)} answers as bars, at most {top:,}; cost so far as a line, ${spent} in all"
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'{bars}<polyline points="{points}"/></svg><figcaption>{label}</figcaption></figure>'
    )
