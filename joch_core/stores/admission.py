"""A guarded call at the store: who may run it, and how its end is recorded. Each method is one look or one durable write.

Decides by the rows of the ledger, the conversation's log and the policies; runs nothing.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NoReturn
from weakref import WeakKeyDictionary

from joch_core.errors import KeyConflict, PolicyDenied
from joch_core.messages import Json
from joch_core.resources.commits import Artifact, Claim, Commit
from joch_core.resources.effect_keys import bounded, effect_key, masked, plain
from joch_core.resources.epochs import EVENT_TYPES, Epochs, Place
from joch_core.resources.events import Draft, conversation_log, instant
from joch_core.resources.tools import ToolDeclaration, ToolJudge, ToolVerdict
from joch_core.stores import owners
from joch_core.stores.base import Query, Store
from joch_core.stores.ledger_rows import MAX_ARGS_CHARACTERS, changed, ended, in_doubt, may_run_again, requested, swap

_FINISH_ATTEMPTS = 16
_MAX_CONVERSATIONS = 256

_EPOCHS: WeakKeyDictionary[Store, OrderedDict[tuple[str, str], Epochs]] = WeakKeyDictionary()
_EPOCHS_LOCK = threading.Lock()


@dataclass(slots=True)
class Call:
    """One call on its way. `key` and `place` are known once the log was read, `claim` once it is ours.

    `told` is what the caller says of the place: the log may not know the call. `repeats` is the key that a forced call would have had, `near` that of a call which it resembles; `redact` are the
    patterns that policies want replaced; `until` is the moment of `owners.lease_clock` until which the claim holds.
    """

    declaration: ToolDeclaration
    args: Json
    call_id: str
    execute: Callable[[str], Any]
    native: bool
    normal: Callable[[Json], str]
    args_hash: str
    subject: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    key: str = ""
    place: Place = field(default_factory=lambda: Place(0, None, 0))
    occurrence: tuple[Any, ...] = ()
    claim: Claim | None = None
    force: bool = False
    approved_by: str | None = None
    told: tuple[int, int] | None = None
    repeats: str = ""
    near: str | None = None
    redact: tuple[str, ...] = ()
    until: float = 0.0

    def facts(self) -> dict[str, Any]:
        """What policies may ask about it."""
        declared = self.declaration
        return {
            "tool.name": declared.name,
            "tool.sideEffect": declared.effect,
            "tool.idempotent": declared.idempotent,
            "tool.forced": self.force,
            "tool.nearDuplicate": self.near is not None,
            "data.contains": lambda: json.dumps(plain(self.args), ensure_ascii=False),
        }


@dataclass(frozen=True, slots=True)
class Admission:
    """What the ledger says to a caller, and the row that it says it about."""

    kind: Literal["run", "answered", "doubt", "busy", "again"]
    claim: Claim


@dataclass(frozen=True, slots=True)
class Desk:
    """The ledger of one conversation, as one process works at it."""

    store: Store
    namespace: str
    conversation: str
    execution: str | None
    clock: Callable[[], datetime]
    lease_s: float
    owner: str
    judge: ToolJudge | None = None

    def admit(self, call: Call) -> Admission:
        """One look at the ledger, and the claim if it can be had."""
        now = self.clock()
        epochs = self._epochs()
        if not call.key:
            self._locate(call, epochs)
        refused = self.store.claim(self.namespace, call.key)  # a look costs little beside a write that is refused
        self._permit(call, refused, now)
        if not (call.declaration.idempotent or call.force):
            for key in epochs.unfinished(call.subject):
                other = None if key == call.key else self._seen(self.store.claim(self.namespace, key), now)
                if other is not None and other.state == "in_doubt":
                    return Admission("doubt", other)
        wanted = self._new_claim(call, now)
        log = conversation_log(self.conversation)
        call.until = owners.lease_clock() + self.lease_s
        if refused is None:
            commit = Commit(log, (*self._flags(call), requested(wanted, call.call_id)), claims=(wanted,))
            faster = self.store.commit(self.namespace, commit, now).refused
            if faster is None:
                call.claim = wanted
                return Admission("run", wanted)
            assert isinstance(faster, Claim)
            refused = faster
        seen = refused if call.declaration.idempotent else self._seen(refused, now) or refused
        if seen.value["argsHash"] != call.args_hash:
            text = f"{call.declaration.name}: an earlier call has the same key and other arguments; it was not started"
            raise KeyConflict(f"{text}. Use another key, or the same arguments", key=seen.key)
        if seen.state == "started" and not owners.is_dead(seen.owner, seen.lease_until, now.timestamp()):
            return Admission("busy", seen)
        repeatable = call.declaration.idempotent and seen.state in ("started", "in_doubt")
        if may_run_again(seen) or repeatable:
            value = {**wanted.value, "attempt": seen.value["attempt"] + 1}
            wanted = replace(wanted, value=value, version=seen.version + 1)
            commit = Commit(log, (requested(wanted, call.call_id),), swaps=(wanted,))
            if self.store.commit(self.namespace, commit, now).refused is not None:
                return Admission("again", seen)
            call.claim = wanted
            return Admission("run", wanted)
        if seen.state == "in_doubt":
            return Admission("doubt", seen)
        if seen.state == "started":
            return Admission("again", seen)
        draft = ended(seen, call_id=call.call_id, deduplicated=True, process=owners.process_mark(self.owner))
        self.store.commit(self.namespace, Commit(log, (replace(draft, execution=self.execution),)), now)
        return Admission("answered", seen)

    def _seen(self, claim: Claim | None, now: datetime) -> Claim | None:
        """The claim, put in doubt if its owner is dead."""
        if claim is None or claim.state != "started" or not owners.is_dead(claim.owner, claim.lease_until, now.timestamp()):
            return claim
        return in_doubt(self.store, self.namespace, claim, now, "the process that ran it has ended")

    def _locate(self, call: Call, epochs: Epochs) -> None:
        place = epochs.place(call.call_id, call.normal)
        if place.turn is None and call.told is not None:
            place = Place(call.told[0], None, call.told[1])
        call.place = place
        mark = owners.process_mark(self.owner)
        match call.declaration.repeat:
            case "per_epoch":
                call.occurrence = (place.epoch, place.position)
            case "once_per_conversation":
                call.occurrence = ()
            case "always" | "across_boundary":
                call.occurrence = (place.epoch, "call", call.call_id or call.nonce)
        call.key = effect_key(self.namespace, self.conversation, call.subject, call.occurrence)
        if call.declaration.repeat == "across_boundary":
            call.key = epochs.earlier(call.subject, place, call.call_id, mark) or call.key
        call.near = epochs.near(call.declaration.name, call.subject, self._kept_args(call), place, mark)
        if call.force:
            call.repeats, call.occurrence = call.key, (*call.occurrence, "forced", call.nonce)
            call.key = effect_key(self.namespace, self.conversation, call.subject, call.occurrence)

    def judged(self, call: Call) -> ToolVerdict:
        """What the policies say; costs no look at the store."""
        verdict = ToolVerdict() if self.judge is None else self.judge(call.facts())
        call.redact = verdict.redact
        return ToolVerdict(redact=verdict.redact) if verdict.approval and call.approved_by else verdict

    def _permit(self, call: Call, known: Claim | None, now: datetime) -> None:
        """Nothing is started that policy denies. What came of a call that was made before may be told all the same."""
        verdict = self.judged(call)
        if not verdict.rule:
            return
        repeatable = call.declaration.idempotent and known is not None and known.state in ("started", "in_doubt")
        if known is None or may_run_again(known) or repeatable:
            self.deny(call, verdict, now)

    def deny(self, call: Call, verdict: ToolVerdict, now: datetime) -> NoReturn:
        """Record that policy denies a call, and say so."""
        policy, _, rule = verdict.rule.partition("/")
        declared = call.declaration
        facts: Json = {"tool": declared.name, "callId": call.call_id, "effect": declared.effect, "key": call.key}
        draft = Draft("PolicyDenied", {**facts, "policy": policy, "rule": rule, "reason": verdict.reason}, self.execution)
        self.store.commit(self.namespace, Commit(conversation_log(self.conversation), (draft,)), now)
        hint = "; say who approved it with approved_by=" if verdict.approval else ""
        denied = PolicyDenied(f"policy {verdict.rule} denies {declared.name}: {verdict.reason}; it was not started{hint}")
        denied.approval = verdict.approval
        raise denied

    def _flags(self, call: Call) -> tuple[Draft, ...]:
        """What is said beside the start of a call."""
        facts: Json = {"key": call.key, "callId": call.call_id, "tool": call.declaration.name}
        flags: list[Draft] = []
        if call.force:
            approved = {} if call.approved_by is None else {"approvedBy": call.approved_by}
            reason = f"{call.declaration.name} is run whatever the ledger says of {call.repeats}"
            payload = {**facts, "effect": call.declaration.effect, "repeats": call.repeats, **approved, "reason": reason}
            flags.append(Draft("ToolCallForced", payload, self.execution))
        if call.near is not None:
            reason = f"{call.declaration.name} resembles the call {call.near}, made before the switch or crash"
            flags.append(Draft("NearDuplicate", {**facts, "like": call.near, "reason": reason}, self.execution))
        return tuple(flags)

    def _kept_args(self, call: Call) -> Any:
        masks = masked(plain(call.args), call.declaration.redact, call.redact)
        return bounded(masks, MAX_ARGS_CHARACTERS)

    def _new_claim(self, call: Call, now: datetime) -> Claim:
        declared = call.declaration
        value: Json = {
            "tool": declared.name,
            "toolVersion": declared.version,
            "args": self._kept_args(call),
            "argsHash": call.args_hash,
            "subject": call.subject,
            "effect": declared.effect,
            "idempotent": declared.idempotent,
            "callId": call.call_id,
            "epoch": call.place.epoch,
            "position": call.place.position,
            "occurrence": list(call.occurrence),
            "process": owners.process_mark(self.owner),
            "execution": self.execution,
            "attempt": 1,
            "startedAt": instant(now),
        }
        if call.force:
            value["forced"] = True
        if call.approved_by is not None:
            value["approvedBy"] = call.approved_by
        return Claim(call.key, "started", value, self.conversation, self.owner, now.timestamp() + self.lease_s)

    def finish(self, claim: Claim, state: str, large: Artifact | None = None, **fields: Any) -> bool:
        """Record the end of our own attempt, also late. False: somebody has decided otherwise."""
        now = self.clock()
        wanted = changed(claim, state, now, **fields)
        for _ in range(_FINISH_ATTEMPTS):
            found = swap(self.store, self.namespace, wanted, now, large)
            if found is wanted:
                return True
            ours = (found.owner, found.value["attempt"]) == (claim.owner, claim.value["attempt"])
            if not ours or found.state not in ("started", "in_doubt"):
                return False
            if found.state == state:
                return True
            late = {"late": True} if found.state == "in_doubt" else {}
            wanted = replace(changed(claim, state, now, **fields, **late), version=found.version + 1)
        return False

    def renew(self, call: Call, claim: Claim) -> None:
        """Say that the owner is alive."""
        until = owners.lease_clock() + self.lease_s
        found = self.store.claim(self.namespace, claim.key)
        if found is not None and found.state == "started" and found.value["attempt"] == claim.value["attempt"]:
            now = self.clock()
            later = replace(found, lease_until=now.timestamp() + self.lease_s, version=found.version + 1)
            commit = Commit(conversation_log(self.conversation), swaps=(later,))
            if self.store.commit(self.namespace, commit, now).refused is None:
                call.until = until

    def _epochs(self) -> Epochs:
        """What the log of the conversation says, read on from where the last look ended."""
        name = (self.namespace, self.conversation)
        with _EPOCHS_LOCK:
            known = _EPOCHS.setdefault(self.store, OrderedDict())
            epochs = known.setdefault(name, Epochs())
            known.move_to_end(name)
            if len(known) > _MAX_CONVERSATIONS:
                known.popitem(last=False)
            query = Query(log=conversation_log(self.conversation), after=epochs.sequence, types=EVENT_TYPES)
            for event in self.store.events(self.namespace, query):
                epochs.apply(event)
        return epochs
