"""Encryption at rest: AES-256-GCM, where every value is bound to the place it was written for.

A value that is moved to another thread, checkpoint, channel or version, or exchanged for plain text, is refused when it is read.
A list is stored as the digests of its items; its *seal* binds them, in their order, to the place of the list. Each thread has a
key of its own, derived from the one that was given. Knows nothing of checkpoints and does no I/O.
"""

from __future__ import annotations

import hmac
import json
import os
import threading
import zlib
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from joch_core import InvalidArgument, StoreError

Blob = tuple[str, bytes]
#: What an encrypted value belongs to: the kind of thing, the thread, and names within it.
Where = tuple[str, ...]
#: A reference (`env:NAME`, `secret:NAME`) or the key itself (32 bytes).
KeyLike = str | bytes

_KEY_BYTES = 32
_NONCE_BYTES = 12
_SEAL_BYTES = 16  # of the same length as a digest, since it stands among them
_MARK = "+joch1."
_SQUEEZED = "zlib:"
_FORMS = "write 'env:NAME' (a variable that holds 32 random bytes as base64 or hex), 'secret:NAME' (a Secret), or 32 bytes"
_THREADS = 1024


class Key(bytes):
    """A key that is not shown, wherever somebody prints what is around it."""

    def __repr__(self) -> str:
        return "<key>"

    __str__ = __repr__


def is_sealed(kind: str) -> bool:
    """Whether a stored kind names a value that a vault encrypted."""
    return _MARK in kind


def check_forms(keys: Sequence[KeyLike]) -> None:
    """Refuse what is no key and no reference to one.

    Raises:
        InvalidArgument: it has no such form. The message never repeats what was given.
    """
    for key in keys:
        named = isinstance(key, str) and key.partition(":")[0] in {"env", "secret"} and key.partition(":")[2]
        if not named and not (isinstance(key, bytes) and len(key) == _KEY_BYTES):
            raise InvalidArgument(f"this is no encryption key: {_FORMS}")


def key_bytes(key: KeyLike, variable_of: Callable[[str], str]) -> Key:
    """The key itself; `variable_of` gives the environment variable that a Secret names.

    Raises:
        InvalidArgument: the variable is not set, or holds no key. The message names the variable and never its value.
    """
    if isinstance(key, bytes):
        return Key(key)
    form, _, name = key.partition(":")
    variable = variable_of(name) if form == "secret" else name
    text = os.environ.get(variable, "").strip()
    if not text:
        raise InvalidArgument(f"the variable {variable}, which should hold the encryption key, is not set")
    found = _decoded(text)
    if found is None:
        raise InvalidArgument(
            f"the variable {variable} holds no encryption key: it takes 32 random bytes as base64 or hex;"
            " `openssl rand -base64 32` makes one"
        )
    return found


def _decoded(text: str) -> Key | None:
    for decode in (bytes.fromhex, lambda given: b64decode(given.replace("-", "+").replace("_", "/"), validate=True)):
        try:
            found = decode(text)
        except ValueError:
            continue
        if len(found) == _KEY_BYTES:
            return Key(found)
    return None


def _bytes(where: Where, kind: str = "") -> bytes:
    return json.dumps([*where, kind], separators=(",", ":")).encode()


class Vault:
    """The keys of one saver: the first one encrypts, each of them decrypts."""

    def __init__(self, keys: Sequence[Key]) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise InvalidArgument(
                "encryption needs the package cryptography: pip install 'langgraph-checkpoint-joch[encryption]'"
            ) from None
        self._cipher: Any = AESGCM
        self._keys = {blake2b(key, digest_size=4, person=b"joch-name").hexdigest(): key for key in keys}
        self._first = next(iter(self._keys))
        self._lock = threading.Lock()
        self._ciphers: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def digest_key(self, thread: str) -> bytes:
        """The key of the digests of a thread: a bare hash would tell what is equal, and let short texts be guessed."""
        return self._derived(self._first, b"joch-digest", thread)

    def _derived(self, name: str, purpose: bytes, thread: str) -> bytes:
        return blake2b(thread.encode(), key=self._keys[name], digest_size=_KEY_BYTES, person=purpose).digest()

    def _cipher_of(self, name: str, thread: str) -> Any:
        with self._lock:
            found = self._ciphers.pop((name, thread), None) or self._cipher(self._derived(name, b"joch-values", thread))
            self._ciphers[name, thread] = found
            while len(self._ciphers) > _THREADS:
                self._ciphers.popitem(last=False)
        return found

    def encrypt(self, blob: Blob, where: Where, *, squeeze: bool = False) -> Blob:
        """A blob as it is stored; `where` is its place, whose second name is the thread. `squeeze` compresses it first."""
        kind, plain = blob
        kind = _SQUEEZED + kind if squeeze else kind
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher_of(self._first, where[1]).encrypt(
            nonce, zlib.compress(plain) if squeeze else plain, _bytes(where, kind)
        )
        return f"{kind}{_MARK}{self._first}", nonce + sealed

    def decrypt(self, blob: Blob, where: Where) -> Blob:
        """The blob itself.

        Raises:
            StoreError: it is plain text, was encrypted with another key, or was written for another place.
        """
        from cryptography.exceptions import InvalidTag

        kind, mark, name = blob[0].rpartition(_MARK)
        if not mark:
            raise StoreError(
                f"the saver encrypts, but a stored row of thread {where[1]!r} is plain text; it was not read, since nobody"
                " vouches for it"
            )
        if name not in self._keys:
            raise StoreError(
                f"a row of thread {where[1]!r} was encrypted with another key ({name}); give the saver that one, too"
            )
        try:
            plain = self._cipher_of(name, where[1]).decrypt(
                blob[1][:_NONCE_BYTES], blob[1][_NONCE_BYTES:], _bytes(where, kind)
            )
        except (InvalidTag, ValueError):
            raise _moved(where) from None
        if kind.startswith(_SQUEEZED):
            return kind.removeprefix(_SQUEEZED), zlib.decompress(plain)
        return kind, plain

    def seal(self, digests: Sequence[bytes], where: Where) -> bytes:
        """What binds a list of digests to its place."""
        return self._seal(self._first, digests, where)

    def _seal(self, name: str, digests: Sequence[bytes], where: Where) -> bytes:
        key = self._derived(name, b"joch-seals", where[1])
        begin = _bytes(where)
        return blake2b(len(begin).to_bytes(4, "big") + begin + b"".join(digests), key=key, digest_size=_SEAL_BYTES).digest()

    def check(self, digests: Sequence[bytes], seal: bytes, where: Where) -> None:
        """Let a sealed list pass.

        Raises:
            StoreError: it is another list, or one from another place.
        """
        if not any(hmac.compare_digest(self._seal(name, digests, where), seal) for name in self._keys):
            raise _moved(where)


def _moved(where: Where) -> StoreError:
    return StoreError(
        f"a stored {where[0]} of thread {where[1]!r} does not belong where it stands: somebody changed it or moved it there;"
        " it was not read"
    )
