"""The list of what a projection costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from joch_core.capabilities import Gap, Level


@dataclass(slots=True)
class Losses:
    """Gaps as they are found; the same sentence stands once. `blocking` are those that no request can live with."""

    gaps: list[Gap] = field(default_factory=list)
    blocking: list[Gap] = field(default_factory=list)

    def warn(self, code: str, text: str) -> None:
        """Something changes."""
        self._add("warn", code, text)

    def fail(self, code: str, text: str) -> None:
        """Something is lost."""
        self._add("fail", code, text)

    def block(self, code: str, text: str) -> None:
        """Something cannot be taken at all: the backend is no candidate for this request."""
        self.blocking.append(self._add("fail", code, text))

    def _add(self, level: Level, code: str, text: str) -> Gap:
        gap = Gap(level, code, text)
        if gap not in self.gaps:
            self.gaps.append(gap)
        return gap
