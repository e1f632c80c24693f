"""What is counted, for Prometheus. Labels are names of the gateway's own: routes, guards, actions, never a user's words."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from unteach.lm.guard import Decision
from unteach.service.gateway.guarding import Seen

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0)
STRONGEST = ("answered", "cut", "changed", "asked again", "rewrote", "passed")


@dataclass(frozen=True)
class Meters:
    """The gateway's figures, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    decisions: Counter = field(init=False)
    overhead: Histogram = field(init=False)
    under_way: Gauge = field(init=False)
    open: Gauge = field(init=False)
    reloads: Counter = field(init=False)

    def __post_init__(self) -> None:
        made = {
            "requests": Counter(
                "unteach_gateway_requests", "Requests that were answered.", ("route", "code", "action"),
                registry=self.registry,
            ),
            "decisions": Counter(
                "unteach_guard_decisions", "What guards decided.", ("guard", "stage", "action"), registry=self.registry
            ),
            "overhead": Histogram(
                "unteach_gateway_overhead_seconds", "Time of a request that the model was not waited for.",
                buckets=SECONDS, registry=self.registry,
            ),
            "under_way": Gauge("unteach_gateway_in_flight", "Requests under way.", registry=self.registry),
            "open": Gauge("unteach_gateway_connections", "Open connections.", registry=self.registry),
            "reloads": Counter(
                "unteach_gateway_reloads", "Times that the policies were read again.", ("result",),
                registry=self.registry,
            ),
        }  # fmt: skip
        for name, meter in made.items():
            object.__setattr__(self, name, meter)

    def decided(self, seen: Sequence[Seen]) -> str:
        """Count what guards did, and say what they did to the request in one word."""
        for decision in (d for one in seen for d in one.all):
            self.decisions.labels(decision.guard, decision.stage, decision.action).inc()
        return action([d for one in seen for d in one.decisions])

    def exposed(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self.registry)


def action(decisions: Sequence[Decision]) -> str:
    """The strongest of what guards did; "none" where no guard was worn."""
    found = {decision.action for decision in decisions}
    return next((one for one in STRONGEST if one in found), "none")
