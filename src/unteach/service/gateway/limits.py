"""How often a key may ask: a bucket of tokens that fills with time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from time import monotonic

from unteach.service.gateway.backend import Refused

SECONDS = 60


@dataclass
class Buckets:
    """One bucket for each key. A full one holds a minute's requests, so that many may come at once."""

    clock: Callable[[], float] = monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)  # tokens, and when

    def take(self, key: str, per_minute: int) -> None:
        """Take a token, or refuse and say when there will be one."""
        now = self.clock()
        left, then = self._left.get(key, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * per_minute / SECONDS)
        if left < 1:
            wait = ceil((1 - left) * SECONDS / per_minute)
            raise Refused(429, "rate_limit_exceeded", f"asked too often; come again in {wait} seconds", wait=wait)
        self._left[key] = left - 1, now
