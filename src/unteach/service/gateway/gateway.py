"""The gateway while it runs: what answers, what is in force, and what is under way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import getLogger

from aiohttp import web

from unteach.schema import InputError
from unteach.service.gateway.access import Key
from unteach.service.gateway.backend import Backend, Refused
from unteach.service.gateway.limits import Buckets
from unteach.service.gateway.meters import Meters
from unteach.service.gateway.rules import Rules

LOG = getLogger("unteach.gateway")


@dataclass
class Gateway:
    """One gateway. `again` reads what is in force anew; it runs beside the requests, which go on under the old rules."""

    backend: Backend
    rules: Rules
    again: Callable[[], Rules] | None = None
    meters: Meters = field(default_factory=Meters)
    buckets: Buckets = field(default_factory=Buckets)
    draining: bool = False
    under_way: int = 0
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reload(self) -> None:
        """Put in force what the files say now; where they cannot be used, what is in force stays.

        Raises:
            InputError: what is wrong with them, in one sentence.
        """
        async with self._one:
            try:
                if self.again is None:
                    raise InputError("the gateway was started without a configuration; give it one with --config")
                self.rules = await asyncio.to_thread(self.again)
            except InputError as wrong:
                self.meters.reloads.labels("refused").inc()
                LOG.warning("the configuration stays as it was: %s", wrong)
                raise
            except Exception as wrong:
                self.meters.reloads.labels("refused").inc()
                LOG.warning("the configuration stays as it was: %s", type(wrong).__name__)
                raise InputError(f"the configuration cannot be used ({type(wrong).__name__}); mend it") from None
            self.meters.reloads.labels("done").inc()
            LOG.info("policies %s are in force", self.rules.version)

    def admit(self, key: Key) -> None:
        """Take a request in, or refuse it where there are too many."""
        if self.draining:
            raise Refused(503, "draining", "the gateway is shutting down; ask another one", wait=1)
        limits = self.rules.limits
        self.buckets.take(key.sha256, self.rules.tenant(key).per_minute or limits.per_minute)
        if self.under_way >= limits.at_once:
            raise Refused(429, "too_many_at_once", "too many requests are under way; come again", wait=1)


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
KEY: web.RequestKey[Key] = web.RequestKey("key", Key)
