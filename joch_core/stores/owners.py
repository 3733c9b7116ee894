"""Who runs a call, and is it still alive? A process is known by host, boot, process id and start time.

On the same host and boot the process table decides at once; elsewhere the lease does. A heartbeat renews the leases of
running calls, and rests while none runs.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from joch_core.errors import InvalidArgument, StoreError

DEFAULT_LEASE_S = 60.0


def lease_seconds() -> float:
    """`JOCH_LEASE_SECONDS`, else 60.

    Raises:
        InvalidArgument: it is no positive number.
    """
    text = os.environ.get("JOCH_LEASE_SECONDS")
    try:
        seconds = DEFAULT_LEASE_S if not text else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidArgument(f"JOCH_LEASE_SECONDS must be a positive number of seconds, not {text!r}")
    return seconds


def lease_clock() -> float:
    """Seconds by which a process measures its own lease: they also pass while it, or the whole machine, stands still."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def owner_id() -> str:
    """This process: `host:boot:pid:start`."""
    return _owner_of(os.getpid())


def process_mark(owner: str) -> str:
    """A short word for an owner that names neither host nor process."""
    return hashlib.sha256(owner.encode()).hexdigest()[:12]


@lru_cache(maxsize=4)
def _owner_of(pid: int) -> str:
    return f"{_host()}:{_boot()}:{pid}:{_start(pid)}"


@lru_cache(maxsize=1)
def _host() -> str:
    """The host's name, with the process namespace where there is one: process ids of two containers do not compare."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        space = ""
    name = socket.gethostname().replace(":", "-")
    return f"{name}/{space}" if space else name


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" where that cannot be known or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]  # state and starttime of proc(5)


def is_dead(owner: str, lease_until: float, now: float) -> bool:
    """May this owner be presumed dead? Times are seconds since the epoch.

    A living process on this host whose lease is over counts as dead, too: it is stopped, or it has lost the call.
    """
    host, boot, pid, start = ([*owner.split(":"), "", "", "", ""])[:4]
    if host == _host() and pid.isdecimal():
        if boot != _boot():
            return True
        if not _exists(int(pid)) or (start and _start(int(pid)) != start):
            return True
    return lease_until < now


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Heartbeat:
    """Renews leases from one thread of the background, which ends when there has been nothing to renew for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._renewals: dict[str, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None

    def add(self, key: str, every_s: float, renew: Callable[[], None]) -> None:
        """Call `renew` every so many seconds until `remove(key)`."""
        with self._lock:
            self._renewals[key] = renew
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, args=(every_s,), name="joch-leases", daemon=True)
                self._thread.start()

    def remove(self, key: str) -> None:
        """Renew no longer."""
        with self._lock:
            self._renewals.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._renewals

    def _beat(self, every_s: float) -> None:
        while True:
            time.sleep(every_s)
            with self._lock:
                if not self._renewals:
                    self._thread = None
                    return
                due = list(self._renewals.values())
            for renew in due:
                try:
                    renew()
                except StoreError:  # the next beat tries again; if none gets through, the lease runs out, which is safe
                    continue


def _new_heartbeat() -> None:
    global HEARTBEAT  # noqa: PLW0603  a forked child has no threads: it needs a heartbeat of its own
    HEARTBEAT = Heartbeat()


HEARTBEAT = Heartbeat()
os.register_at_fork(after_in_child=_new_heartbeat)
