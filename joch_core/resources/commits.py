"""What a store is asked to write, as one value: events, claims, money and records that become true together. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from joch_core.messages import Json
from joch_core.resources.events import Draft, Event


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands: the last sequence and hash, and the sequence of the last event that moved the turn."""

    sequence: int
    hash: str
    turn: int


@dataclass(frozen=True, slots=True)
class Record:
    """A stored resource: its whole YAML document as JSON, without `status`. `generation` counts changes of the spec."""

    kind: str
    name: str
    body: Json
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the ledger. `version` counts its changes and is the fence of every compare-and-set.

    `state` is one of `started completed failed in_doubt resolved`; `owner` is `host:boot:pid:…`, `lease_until` the moment
    (seconds since the epoch) after which its owner may be presumed dead; `value` is the ledger's own JSON.
    """

    key: str
    state: str
    value: Json
    conversation: str | None = None
    owner: str = ""
    lease_until: float = 0.0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes that are kept once, under their own hash (`digest`: 64 hexadecimal characters of SHA-256)."""

    digest: str
    data: bytes
    media_type: str = "application/json"

    @property
    def ref(self) -> str:
        """As events and resources name it."""
        return f"artifact://sha256/{self.digest}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is set aside before a call, in integer micro-USD. Refused if spent + held + amount > cap."""

    id: str
    account: str
    amount: int
    cap: int
    lease_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Settle:
    """What a call really cost. Takes the hold away (it may have expired) and adds `amount` to what is spent.

    Without a hold (`id` is None) the amount is only added.
    """

    account: str
    amount: int
    id: str | None = None


#: Drafts that have nothing in common.
NO_ENVELOPE = Draft("")


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that must become true together.

    `turn` is the fence of a conversation: if given, the log's turn must still equal it (else `ConversationConflict`), and
    it becomes the sequence of the last draft. Drafts without a fence are appended wherever the head is. `open_execution`
    is a day (`20260510`): the store takes the next name `exec-DAY-NNN` and puts it into every draft (and into the log's
    name where that is `execution/`). `envelope` is what every draft has in common: its payload, type and model are not
    looked at, and a draft's own field wins. `claims` are set if absent, `swaps` are compare-and-set on `version - 1`.
    """

    log: str
    drafts: tuple[Draft, ...] = ()
    turn: int | None = None
    open_execution: str | None = None
    claims: tuple[Claim, ...] = ()
    swaps: tuple[Claim, ...] = ()
    holds: tuple[Hold, ...] = ()
    settles: tuple[Settle, ...] = ()
    records: tuple[Record, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    envelope: Draft = NO_ENVELOPE


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a commit.

    If `refused` is set, nothing was written: it is the claim or swap that somebody else holds (as it stands now), or the
    hold that does not fit.
    """

    events: tuple[Event, ...] = ()
    execution: str | None = None
    refused: Claim | Hold | None = None
