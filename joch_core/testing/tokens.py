"""Ids and opaque tokens of the simulator: unique, shaped like the real ones, and checkable without any state.

A token says for which model it was issued and carries a keyed digest, so that a pure rule can tell a token of this
simulator and this model from one of another model or another provider, also in another process. The key is no secret:
it guards nothing, it only makes mix-ups visible.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import string

_KEY = b"joch simulator: guards nothing"
_MARK = "joch-sim"
_ALPHABET = string.digits + string.ascii_letters


def _digest(text: str) -> str:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest()[:32]


def seal(kind: str, model: str, nonce: str) -> str:
    """An opaque token of this kind (`thinking`, `reasoning`, `thought`) for one model; base64, as the providers send it."""
    text = f"{_MARK}|{kind}|{model}|{nonce}"
    return base64.b64encode(f"{text}|{_digest(text)}".encode()).decode()


def sealed_for(token: object) -> tuple[str, str] | None:
    """The kind and the model a token was issued for, or None where this simulator did not issue it."""
    try:
        text = base64.b64decode(str(token), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    head, _, digest = text.rpartition("|")
    fields = head.split("|")
    if len(fields) != 4 or fields[0] != _MARK or not hmac.compare_digest(digest, _digest(head)):
        return None
    return fields[1], fields[2]


def item_id(prefix: str, model: str, nonce: str) -> str:
    """An id of a Responses item: the prefix, 16 hexadecimal characters of the nonce, 32 of a digest over it and the model."""
    core = hashlib.sha256(nonce.encode()).hexdigest()[:16]
    return f"{prefix}_{core}{_digest(f'{prefix}|{model}|{core}')}"


def is_item_id(identifier: str, model: str) -> bool:
    """Did this simulator give this id to an item of this model?"""
    prefix, _, rest = identifier.partition("_")
    return len(rest) == 48 and hmac.compare_digest(rest[16:], _digest(f"{prefix}|{model}|{rest[:16]}"))


class Ids:
    """Unique ids of one simulator. The same sequence of requests gives the same ids."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = itertools.count(1)

    def nonce(self) -> str:
        """A fresh text that no other call of this object gives."""
        return f"{self._seed}-{next(self._count)}"

    def new(self, prefix: str, length: int = 24) -> str:
        """A fresh id: the prefix and `length` letters and digits."""
        number = int.from_bytes(hashlib.sha512(self.nonce().encode()).digest(), "big")
        out = []
        for _ in range(length):
            number, rest = divmod(number, 62)
            out.append(_ALPHABET[rest])
        return prefix + "".join(out)
