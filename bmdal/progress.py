"""Progress of long work, with the remaining time, in the log "bmdal": quiet unless somebody listens."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Self

LOG = logging.getLogger("bmdal")
SECONDS_BETWEEN_LINES = 10.0


@dataclass
class Progress:
    """Log every ten seconds how much is done and how long the rest will take. Use it as a context manager.

        logging.basicConfig(level=logging.INFO)  # show it

    Args:
        title: what is being done.
        total: the amount of work in any unit; None if it is unknown.
    """

    title: str
    total: int | None
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    last_line: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.last_line is not None and error[0] is None:
            LOG.info("%s: done in %.0f s", self.title, time.monotonic() - self.started)

    def advance(self, work: int = 1) -> None:
        """Report that an amount of work has been done."""
        self.done += work
        now = time.monotonic()
        if now - (self.last_line or self.started) < SECONDS_BETWEEN_LINES:
            return
        self.last_line = now
        left = f", {(now - self.started) * (self.total - self.done) / self.done:.0f} s left" if self.total else ""
        LOG.info("%s: %s%s%s", self.title, f"{self.done:,}", f" of {self.total:,}" if self.total else "", left)
