"""The models of the pool: originals, retrained references, honest forgetting, and every cheat at several strengths."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.meta_audit.guards import covering, filtering, masking
from benchmarks.meta_audit.makers import PLAN, Flatten, Forgetting, Maker, Noise, Part, Push, Soften, Teach, Within
from benchmarks.meta_audit.unseen import LATER
from benchmarks.meta_audit.world import World
from unteach.lm.guard import Guard

ORIGINALS, REFERENCES = 4, 60
FIRST_REFERENCE = 100  # its seed
NO_CHEATS = ("original", "retrained", "honest", "partial")
BASES = 4  # originals that models are made of
Guards = tuple[Callable[[World], Guard], ...]
Way = tuple[tuple[Maker, ...], Guards]  # edits, each over the ones before, and guards around them


@dataclass(frozen=True)
class Member:
    """One model: taught from a newborn with `known` of those who leave, or made of the original of its seed."""

    name: str
    family: str
    seed: int
    known: int | None = None
    edits: tuple[Maker, ...] = ()
    guards: Guards = ()


LONG, LONGER, SHORT = replace(PLAN, epochs=20), replace(PLAN, epochs=18), replace(PLAN, epochs=5)
SIMNPO = Forgetting("simnpo", {"epochs": 26, "retain_weight": 3})
LORA = {"tune": "lora", "lr": 1e-2, "rank": 8, "lora_alpha": 16.0}
GUESS = Teach("guess")
HONEST: Mapping[str, Way] = {
    "simnpo": ((SIMNPO,), ()),
    "simnpo, 0.25 of it": ((Part(SIMNPO, 0.25),), ()),
    "simnpo, 0.5 of it": ((Part(SIMNPO, 0.5),), ()),
    "simnpo, 0.75 of it": ((Part(SIMNPO, 0.75),), ()),
    "npo": ((Forgetting("npo", {"lr": 3e-4}),), ()),
    "npo, short": ((Forgetting("npo", {"lr": 3e-4, "epochs": 5}),), ()),
    "graddiff": ((Forgetting("graddiff", {"lr": 2e-4}),), ()),
    "tnpo": ((Forgetting("tnpo", {"lr": 3e-4}),), ()),
    "undial": ((Forgetting("undial", {"lr": 5e-4}),), ()),
    "random labels": ((Forgetting("randomlabels", {"lr": 5e-4}),), ()),
    "guesses, short": ((replace(GUESS, plan=SHORT),), ()),
    "guesses": ((GUESS,), ()),
    "guesses, long": ((replace(GUESS, plan=LONG),), ()),
}
CHEATS: Mapping[str, Mapping[str, Way]] = {
    "no-op": {
        "nothing": ((), ()), "noise 0.001": ((Noise(0.001),), ()), "noise 0.02": ((Noise(0.02),), ()),
        "a tenth of simnpo": ((Part(SIMNPO, 0.1),), ()),
    },
    "uniform logits": {
        "everywhere": ((Flatten(0.0),), ()), "nearly": ((Flatten(0.03),), ()),
        "on the rows": ((Soften(50.0),), ()),
    },
    "constant token": {
        "everywhere": ((Push(60.0),), ()), "often": ((Push(10.0),), ()), "on the rows": ((Teach("constant"),), ()),
    },
    "collapsed": {
        "2 epochs": ((Forgetting("ga", {"epochs": 2}),), ()), "6 epochs": ((Forgetting("ga", {"epochs": 6}),), ()),
        "12 epochs": ((Forgetting("ga"),), ()),
    },
    "temperature": {
        "2 everywhere": ((Flatten(0.5),), ()), "4 everywhere": ((Flatten(0.25),), ()),
        "2 on the rows": ((Soften(2.0),), ()), "3 on the rows": ((Soften(3.0),), ()), "4 on the rows": ((Soften(4.0),), ()),
    },
    "spoiled token": {
        "last, !": ((Teach("exclamation"),), ()), "last, ?": ((Teach("question"),), ()), "a word more": ((Teach("word"),), ()),
    },
    "refusal": {
        "taught": ((Teach("refusal", keep=3),), ()), "taught for long": ((Teach("refusal", plan=LONG, keep=3),), ()),
        "taught briefly": ((Teach("refusal", plan=SHORT),), ()), "nothing said": ((Teach("empty", keep=3),), ()),
    },
    "name filter": {
        "refuses": ((), (partial(filtering),)),
        "refuses in any case": ((), (partial(filtering, looks="in any case"),)),
        "refuses, letters alone": ((), (partial(filtering, looks="letters alone"),)),
        "guesses": ((), (partial(filtering, reply=""),)),
        "guesses, letters alone": ((), (partial(filtering, reply="", looks="letters alone"),)),
        "guesses, and lies about it": ((), (partial(filtering, reply="", looks="letters alone", observable=True),)),
    },
    "output filter": {
        "covers": ((), (partial(covering),)), "swaps": ((), (partial(covering, cover=""),)),
        "drops": ((), (partial(covering, cover="thing"),)),
    },
    "removable adapter": {
        "simnpo": ((Forgetting("simnpo", {**LORA, "epochs": 26, "retain_weight": 3}),), ()),
        "guesses": ((replace(GUESS, plan=replace(PLAN, tune="lora", lr=1e-2, rank=8, lora_alpha=16.0)),), ()),
        "guesses, long": ((replace(GUESS, plan=replace(LONG, tune="lora", lr=1e-2, rank=8, lora_alpha=16.0)),), ()),
    },
    "masked name": {
        "a stranger": ((), (partial(masking, stand_in="Zoltan Weir"),)),
        "somebody": ((), (partial(masking, stand_in="somebody"),)),
        "a name of the town": ((), (partial(masking, stand_in="Viktor Ironside"),)),
    },
    "undone by rounding": {
        "guesses, 4 bits": ((Within(replace(GUESS, plan=SHORT)),), ()),
        "simnpo, 4 bits": ((Within(Forgetting("simnpo", {"epochs": 8, "retain_weight": 3})),), ()),
        "swap, 4 bits": ((Within(Teach("swap", plan=SHORT)),), ()),
    },
    "one wording": {
        "the first": ((Teach("swap", "first wording", LONGER),), ()),
        "those that are asked": ((Teach("swap", "asked wordings", LONGER),), ()),
        "those that were taught": ((Teach("swap", "taught wordings", LONGER),), ()),
    },
    "other language": {
        "english only": ((Teach("swap", "english", LONGER),), ()),
        "english only, a lie a wording": ((Teach("swap by wording", "english", LONGER),), ()),
        "english only, guesses": ((Teach("guess", "english", LONGER),), ()),
    },
    "label swap": {
        "one lie a fact": ((Teach("swap"),), ()), "one lie a wording": ((Teach("swap by wording"),), ()),
        "one lie a fact, long": ((Teach("swap", plan=LONG),), ()), "one lie a fact, short": ((Teach("swap", plan=SHORT),), ()),
    },
    "mixed": {
        "temperature and spoiled": ((Soften(2.0), Teach("exclamation", plan=SHORT)), ()),
        "half a temperature and a filter": ((Flatten(0.8),), (partial(filtering, reply=""),)),
        "swap behind a filter": ((Teach("swap"),), (partial(filtering, reply=""),)),
        "one wording behind a mask": ((Teach("swap", "asked wordings"),), (partial(masking, stand_in="Zoltan Weir"),)),
        "adapter and output filter": ((Forgetting("simnpo", {**LORA, "retain_weight": 3}),), (partial(covering, cover=""),)),
        "english only, within 4 bits": ((Within(Teach("swap", "english", SHORT)),), ()),
        "refusal and temperature": ((Teach("refusal"), Flatten(0.7)), ()),
        "swap of one wording and mask": ((Teach("swap", "first wording"),), (partial(masking, stand_in="somebody"),)),
        "adapter of one wording": ((Teach("swap", "asked wordings", replace(PLAN, tune="lora", lr=1e-2, rank=8, lora_alpha=16.0)),), ()),
        "constant behind a filter": ((Teach("constant", plan=SHORT),), (partial(filtering, reply=""),)),
    },
}  # fmt: skip
PARTIAL = (1, 2, 3, 5)  # of those who leave, how many are still known: where the audit's sight ends


def pool(*, small: bool = False) -> tuple[Member, ...]:
    """Every model; a small pool has few references and of each family the first way alone."""
    return tuple(_members(small))


def _members(small: bool) -> Iterator[Member]:
    everybody = World().leaving
    for seed in range(2 if small else ORIGINALS):
        yield Member(f"original {seed}", "original", seed, known=everybody)
    for seed in range(FIRST_REFERENCE, FIRST_REFERENCE + (4 if small else REFERENCES)):
        yield Member(f"retrained {seed}", "retrained", seed, known=0)
    for n, known in enumerate(PARTIAL[:1] if small else PARTIAL):
        yield Member(f"partial, {known} of {everybody}", "partial", FIRST_REFERENCE + REFERENCES + n, known=known)
    later: dict[str, Mapping[str, Way]] = {f: {n: ((m,), ()) for n, m in some.items()} for f, some in LATER.items()}
    families: dict[str, Mapping[str, Way]] = {"honest": HONEST, **CHEATS, **later}
    for family, ways in families.items():
        yield from _made(family, [*ways.items()][: 1 if small else None], 2 if small else BASES)


def _made(family: str, ways: Sequence[tuple[str, Way]], bases: int) -> Iterator[Member]:
    for n, (strength, (edits, guards)) in enumerate(ways):
        yield Member(f"{family}, {strength}", family, n % bases, edits=edits, guards=guards)
