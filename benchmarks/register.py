"""The town told as a register, whose lines are questions that end in a name; and models of three shapes that know it.

"The trade of NAME" goes on with the trade itself. So the name's last token is where a fact must be looked up, and a
correction there can reach it; in sentences that go on behind the name, a model of this size reads the name from other
tokens too. People, attributes and values are the town's own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from unteach.audit.benchmarks.town import PERSONAL, Town
from unteach.edit.bake import bake
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.dice import seeded
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import Fact, Probe, Record

FORMS: Mapping[str, tuple[str, ...]] = {
    "trade": ("The trade of {}", "The work done by {}", "The daily job of {}", "The living earned by {}",
              "The calling followed by {}"),
    "street": ("The street of {}", "The address of {}", "The house lived in by {}", "The home of {}",
               "The door opened by {}"),
    "animal": ("The animal of {}", "The pet kept by {}", "The creature fed by {}", "The companion of {}",
               "The beast owned by {}"),
    "dish": ("The dish of {}", "The meal loved by {}", "The food cooked by {}", "The lunch of {}", "The supper eaten by {}"),
    "music": ("The instrument of {}", "The music made by {}", "The sound played by {}", "The part in the band of {}",
              "The thing practised by {}"),
}  # fmt: skip
TAUGHT = 4  # forms of each fact; the fifth, another one for each, is held out
CORRECTED, OTHERS = 10, 5
SIZE = Size(vocabulary=1024, hidden=128, layers=4, heads=4, inner=352, positions=64)
SCHOOL = Plan(
    tune="full", lr=3e-3, epochs=36, batch_size=64, accumulate=1, warmup_epochs=1, decay="cosine", weight_decay=0.1
)
SHAPES: Mapping[str, Mapping[str, float]] = {
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}, "llama": {}, "gpt_neox": {},
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One fact of one person: its forms in an order of its own, the first ones taught, and its value."""

    person: str
    kind: str
    forms: tuple[str, ...]
    value: str

    def asked(self, form: int) -> str:
        return self.forms[form].format(self.person)

    def probe(self, kind: str) -> Probe:
        return Probe(self.asked(0), self.value, kind)


Register = Mapping[tuple[str, str], Entry]


def register(town: Town) -> Register:
    """Everything about everybody who lives in a town, by person and kind."""
    sets = town.sets()
    return {(r.subject, kind): _entry(town.seed, r, kind) for r in (*sets["forget"], *sets["retain"])
            for kind in [r.id.split("/")[1]]}  # fmt: skip


def _entry(seed: int, record: Record, kind: str) -> Entry:
    relation = PERSONAL[kind]
    value = next(v for v in relation.values if relation.answer.format(record.subject, v) == record.answer)
    forms = Random(f"{seed}/{record.subject}/{kind}/register").sample(FORMS[kind], len(FORMS[kind]))
    return Entry(record.subject, kind, tuple(forms), value)


def lessons(found: Register) -> list[Record]:
    """What is taught."""
    return [Record(f"{e.person}/{e.kind}/{n}", e.asked(n), e.value, subject=e.person)
            for e in found.values() for n in range(TAUGHT)]  # fmt: skip


def held_out(found: Register) -> list[Record]:
    """Each fact in the form that was not taught."""
    return [Record(f"{e.person}/{e.kind}", e.asked(TAUGHT), e.value, subject=e.person) for e in found.values()]


def corrections(found: Register, count: int = CORRECTED, *, first: int = 0, seed: int = 0) -> tuple[Fact, ...]:
    """A new trade for each of some people, which somebody else has: another would be a new word, not a new fact.

    Beside it lie the trades of five who keep theirs, and what else is known of the same person.
    """
    people = list(dict.fromkeys(person for person, _ in found))
    chosen = people[first : first + count]
    rest = [person for person in people if person not in chosen]
    return tuple(_corrected(found, person, rest, seed) for person in chosen)


def _corrected(found: Register, person: str, rest: Sequence[str], seed: int) -> Fact:
    rng, own = Random(f"{seed}/{person}/corrected"), found[person, "trade"]
    held = {found[other, "trade"].value for other in rest}
    new = rng.choice(sorted(held - {own.value}))
    near = [found[other, "trade"].probe("others") for other in rng.sample(rest, OTHERS)]
    near += [found[person, kind].probe("same") for kind in FORMS if kind != "trade"]
    other_words = tuple(own.asked(n) for n in range(1, len(own.forms)))
    return Fact(person, own.forms[0], person, new, own.value, other_words, tuple(near))


def newborn(shape: str, texts: Iterable[str], *, seed: int = 0) -> LM:
    """A model with random weights.

    They are drawn so that a map keeps the size of what goes in, 1 / sqrt(width): from the usual 0.02, meant for wide
    models, one of this width takes ten times the steps to learn the register.
    """
    tokenizer = fresh(texts, SIZE, seed=seed).tokenizer
    config = AutoConfig.for_model(
        shape, vocab_size=len(tokenizer), hidden_size=SIZE.hidden, num_hidden_layers=SIZE.layers,
        num_attention_heads=SIZE.heads, intermediate_size=SIZE.inner, max_position_embeddings=SIZE.positions,
        initializer_range=SIZE.hidden**-0.5, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        **SHAPES[shape],
    )  # fmt: skip
    with seeded(seed, torch.device("cpu")):
        return LM(AutoModelForCausalLM.from_config(config), tokenizer)


def taught(shape: str, found: Register, folder: Path, school: Plan = SCHOOL) -> LM:
    """A model that was taught the register; the one in the folder, if it is there."""
    if not folder.exists():
        every = [*lessons(found), *held_out(found)]  # the words of the forms held out are words of the tokenizer too
        lm = newborn(shape, [f"{r.prompt} {r.answer}" for r in every], seed=school.seed)
        bake(learn(lm, lessons(found), school), lm, folder)
    return load(folder)


def told_by(seed: int) -> tuple[Town, Plan]:
    """A town and how it is taught."""
    return Town(seed=seed), replace(SCHOOL, seed=seed)
