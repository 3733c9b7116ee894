"""The guard of side effects: an effectful tool is started at most once per effect key, whatever dies in between.

`started` is on disk before the tool runs; who finds it there and dead gets `OutcomeUnknown`, never a silent repeat. A guarded call
is a generator (`_flow`) that yields what it wants done (`guard_steps.py`). Who may run is decided in `admission.py`, what
counts as the same call in `resources.epochs`; rows and their events are in `ledger_rows.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from joch_core.errors import CallInProgress, InvalidArgument, NotExecuted, OutcomeUnknown, StoreError
from joch_core.messages import Json
from joch_core.resources.commits import Claim
from joch_core.resources.effect_keys import args_digest, canonical_args, masked, plain, render_key, subject_of
from joch_core.resources.tools import KEY_PARAMETER, ToolDeclaration, ToolJudge, declaration_of, takes_key, with_defaults
from joch_core.stores import owners
from joch_core.stores.admission import Admission, Call, Desk
from joch_core.stores.base import Store
from joch_core.stores.guard_steps import (
    Ask,
    Flow,
    Run,
    Sleep,
    ToolOutcome,
    adrive,
    asked,
    current_key,
    drive,
    failpoint,
    is_native,
)  # fmt: skip
from joch_core.stores.ledger_rows import calls, error_text, kept, mark_dead, output_of, phase, resolve

__all__ = ["DEFAULT_WAIT_S", "Guard", "ToolOutcome", "calls", "current_key", "mark_dead", "resolve"]

#: How long a caller waits for somebody else who runs the very same call.
DEFAULT_WAIT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.25


class Guard:
    """Guards the side effects of one conversation. Cheap to make; may be used from several threads and loops.

    Args:
        store: Where the ledger is kept.
        namespace: The namespace.
        conversation: Whose calls they are.
        clock: The time, for leases and events.
        execution: The execution that the events belong to.
        declarations: What is declared of tools that do not say it themselves, by name.
        wait_s: Seconds to wait for somebody else who runs the very same call.
        encode: Makes JSON of a result, where it is none.
        decode: The opposite; what callers get is `decode(encode(result))`.
        release_on: Exceptions that mean: the tool was left before it did anything (a framework's interrupts).
        judge: What the policies say about a call; asked before anything is started.
    """

    def __init__(
        self,
        store: Store,
        namespace: str,
        conversation: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        execution: str | None = None,
        declarations: Mapping[str, ToolDeclaration] | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        encode: Callable[[Any], Any] = lambda value: value,
        decode: Callable[[Any], Any] = lambda value: value,
        release_on: Sequence[type[BaseException]] = (),
        judge: ToolJudge | None = None,
    ) -> None:
        self.store = store
        self.namespace = namespace
        self.conversation = conversation
        self.execution = execution
        self._declarations = declarations or {}
        self._wait_s = wait_s
        self._encode = encode
        self._decode = decode
        self._release_on = tuple(release_on)
        lease_s, owner = owners.lease_seconds(), owners.owner_id()
        self._desk = Desk(store, namespace, conversation, execution, clock, lease_s, owner, judge)

    def call(
        self,
        function: Callable[..., Any],
        args: Json | None = None,
        *,
        call_id: str = "",
        force: bool = False,
        approved_by: str | None = None,
    ) -> Any:
        """Run a tool, or give what it gave before; the tool's value after a JSON round trip. Arguments and errors of `run`."""
        return self.run(function, args, call_id=call_id, force=force, approved_by=approved_by).value

    async def acall(
        self,
        function: Callable[..., Any],
        args: Json | None = None,
        *,
        call_id: str = "",
        force: bool = False,
        approved_by: str | None = None,
    ) -> Any:
        """`call` for asynchronous callers."""
        return (await self.arun(function, args, call_id=call_id, force=force, approved_by=approved_by)).value

    def run(
        self,
        function: Callable[..., Any] | ToolDeclaration,
        args: Json | None = None,
        *,
        call_id: str = "",
        name: str | None = None,
        execute: Callable[[], Any] | None = None,
        force: bool = False,
        approved_by: str | None = None,
        place: tuple[int, int] | None = None,
    ) -> ToolOutcome:
        """Run a tool, or give what it gave before.

        Args:
            function: The tool; or its declaration, with `execute`.
            args: Its arguments by name.
            call_id: Joch's id of the call in the conversation's log.
            name: The tool's name, if it is not the function's.
            execute: Runs the tool in the framework's own way, in place of calling `function`.
            force: Run it whatever the ledger says of earlier calls, under a key of its own. Policies can forbid that
                (`tool.forced`), and the log tells of it (`ToolCallForced`).
            approved_by: Who has approved it, where a policy requires the approval of a human.
            place: For a call that the conversation's log does not know (a model that is not Joch's made it): which message
                of the user it follows, counted from 1, and how many equal calls stand before it in its assistant turn.

        Raises:
            PolicyDenied: a policy objects, or wants an approval; not started.
            OutcomeUnknown: it was started before and nobody knows how it ended; or it ran and could not be recorded.
            KeyConflict: the same key with other arguments; not started.
            CallInProgress: somebody else runs it, and the waiting bound is over; not started.
            InvalidArgument: the arguments do not fit; not started.
            StoreError: the ledger cannot be written; not started.
            Exception: the tool's own.
        """
        call = self._prepare(function, args, call_id, name, execute)
        call.force, call.approved_by, call.told = force, approved_by, place
        if call.native:
            raise InvalidArgument(f"tool {call.declaration.name} is asynchronous: use acall or arun")
        return drive(self._flow(call))

    async def arun(
        self,
        function: Callable[..., Any] | ToolDeclaration,
        args: Json | None = None,
        *,
        call_id: str = "",
        name: str | None = None,
        execute: Callable[[], Any] | None = None,
        force: bool = False,
        approved_by: str | None = None,
        place: tuple[int, int] | None = None,
    ) -> ToolOutcome:
        """`run` for asynchronous callers: an asynchronous tool is awaited here, a plain one runs in a worker thread."""
        call = self._prepare(function, args, call_id, name, execute)
        call.force, call.approved_by, call.told = force, approved_by, place
        return await adrive(self._flow(call))

    def resolve(self, key: str, outcome: Literal["done", "not_done"], result: Any = None) -> Json:
        """Say how a call in doubt has ended; see `ledger_rows.resolve`."""
        return resolve(self.store, self.namespace, key, outcome, self._desk.clock(), result=result)

    # --------------------------------------------------------------------------------------------------- the flow

    def _prepare(
        self,
        function: Callable[..., Any] | ToolDeclaration,
        args: Json | None,
        call_id: str,
        name: str | None,
        execute: Callable[[], Any] | None,
    ) -> Call:
        given = {key: value for key, value in (args or {}).items() if key != KEY_PARAMETER}
        if isinstance(function, ToolDeclaration):
            if execute is None:
                raise InvalidArgument(f"tool {function.name}: a declaration alone cannot be run; give execute=")
            declared, full = function, given
        else:
            declared = declaration_of(function, name, self._declarations)
            full = with_defaults(function, given)

        def normal(raw: Json) -> str:
            with contextlib.suppress(InvalidArgument):
                raw = raw if isinstance(function, ToolDeclaration) else with_defaults(function, raw)
            return canonical_args(raw, ignore=declared.ignore)

        def run(key: str) -> Any:
            if execute is not None or isinstance(function, ToolDeclaration):
                return (execute or function)()  # type: ignore[operator]  # a declaration comes with execute
            return function(**given, **({KEY_PARAMETER: key} if takes_key(function) else {}))

        native = is_native(execute or function)
        if declared.reads_only:  # it needs no key
            return Call(declared, full, call_id, run, native, normal, "", "")
        canonical = canonical_args(full, ignore=declared.ignore)
        what = canonical if declared.key is None else render_key(declared.key, full)
        subject = subject_of(declared.name, declared.version, what)
        return Call(declared, full, call_id, run, native, normal, args_digest(canonical), subject)

    def _flow(self, call: Call) -> Flow:
        if call.declaration.reads_only:
            if (verdict := self._desk.judged(call)).rule:
                yield Ask(lambda: self._desk.deny(call, verdict, self._desk.clock()))
            value = yield Run("", lambda: call.execute(""), call.native, effect=False)
            return ToolOutcome(self._decode(plain(self._encode(value))), "", "Succeeded", 1, deduplicated=False)
        waited, pause = 0.0, _FIRST_PAUSE_S
        while True:
            try:
                admission: Admission = yield Ask(lambda: self._desk.admit(call))
            except BaseException:
                if (mine := call.claim) is not None:  # cancelled between the claim and the effect: nothing has happened
                    yield Ask(lambda: self._desk.finish(mine, "failed", error="cancelled before it began"))
                raise
            claim = admission.claim
            match admission.kind:
                case "run":
                    return (yield from self._execute(call, claim))
                case "answered":
                    return (yield from self._answer(claim))
                case "doubt":
                    yield from self._verify(call, claim)
                case "busy":
                    if waited >= self._wait_s:
                        text = f"{call.declaration.name} is being run by somebody else for more than {self._wait_s:g} s"
                        raise CallInProgress(f"{text}; it was not started here, try again later", key=claim.key)
                    yield Sleep(pause)
                    waited, pause = waited + pause, min(pause * 2, _LONGEST_PAUSE_S)

    def _answer(self, claim: Claim) -> Flow:
        """What a call gave before."""
        output = claim.value.get("output")
        if "artifact" in claim.value:
            output = yield Ask(lambda: output_of(self.store, self.namespace, claim))
        return ToolOutcome(self._decode(output), claim.key, phase(claim), claim.value["attempt"], deduplicated=True)

    def _execute(self, call: Call, claim: Claim) -> Flow:
        declared = call.declaration
        beat = f"{claim.key}/{call.nonce}"
        owners.HEARTBEAT.add(beat, self._desk.lease_s / 3, lambda: self._desk.renew(call, claim))
        try:
            failpoint("after_started")
            try:
                result = yield Run(claim.key, lambda: _in_time(call, claim), call.native)
                value = plain(self._encode(result))
            except BaseException as error:
                untouched = isinstance(error, (NotExecuted, *declared.errors_before_effect, *self._release_on))
                state = "failed" if untouched or declared.idempotent else "in_doubt"
                text = error_text(error)
                with contextlib.suppress(StoreError):  # the lease ends, and then it is in doubt
                    yield Ask(lambda: self._desk.finish(claim, state, error=text))
                raise
            fields, artifact = kept(masked(value, declared.redact, call.redact))
            failpoint("before_completed")
            try:
                recorded = yield Ask(lambda: self._desk.finish(claim, "completed", artifact, **fields))
            except StoreError as error:
                text = f"{declared.name} ran, but that could not be recorded ({error.message}); verify, do not repeat it"
                raise OutcomeUnknown(text, key=claim.key) from None
            failpoint("after_completed")
        finally:
            owners.HEARTBEAT.remove(beat)
        if not recorded:
            text = f"{declared.name} ran here, but meanwhile its call was decided otherwise; verify, do not repeat it"
            raise OutcomeUnknown(text, key=claim.key)
        return ToolOutcome(self._decode(value), claim.key, "Succeeded", claim.value["attempt"], deduplicated=False)

    def _verify(self, call: Call, claim: Claim) -> Generator[Ask | Run | Sleep, Any, None]:
        """Ask the tool's `verify` about a call in doubt; return if that has settled it."""
        verify = call.declaration.verify
        answer: Any = None
        if verify is not None:
            with contextlib.suppress(Exception):  # whoever cannot say leaves the doubt as it is
                answer = yield Run(claim.key, lambda: asked(verify, call.args, claim.key), is_native(verify), effect=False)
        if answer is None:
            text = f"{call.declaration.name} was started before and nobody knows how it ended; verify it, then say so with"
            raise OutcomeUnknown(f"{text}: joch calls resolve {claim.key} --done or --not-done", key=claim.key)
        outcome: Literal["done", "not_done"] = "not_done" if answer is False else "done"
        result = None if answer is True or answer is False else self._encode(answer)
        with contextlib.suppress(InvalidArgument):  # somebody else has resolved it: the next look shows how
            yield Ask(lambda: self.resolve(claim.key, outcome, masked(plain(result), call.declaration.redact, call.redact)))


def _in_time(call: Call, claim: Claim) -> Any:
    """Run the tool, unless this process has stood still for so long that its claim may be somebody else's by now."""
    if owners.lease_clock() > call.until:
        text = f"{call.declaration.name} was not started: this process stood still for longer than its lease; call it again"
        raise NotExecuted(text, key=claim.key)
    return call.execute(claim.key)
