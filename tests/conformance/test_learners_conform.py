"""Every registered learner: what it is given it leaves alone, what it claims it keeps to; nothing here names one of them."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import worlds
from unteach.edit.edit import Edit
from unteach.lm.heads import Table
from unteach.lm.model import LM
from unteach.methods.exact.heads.erase import Examples
from unteach.methods.exact.heads.ngram import words
from unteach.methods.exact.private.pate import Lesson
from unteach.methods.exact.shards.fairsisa import Grouped
from unteach.methods.exact.shards.sharded import Corpus
from unteach.registry import Entry, build, entries, find
from unteach.schema import STRENGTH, Guarantee, InputError, Record

LEARNERS = [e for e in entries("learner") if e.module.startswith("unteach.")]
RECORDS = tuple(replace(r, id=f"r{n:02d}", subject=f"s{n // 2}", label=n % 2) for n, r in enumerate(worlds.RECORDS))
SETTINGS: Mapping[str, Any] = {  # what small data asks for; handed to every learner that has the field
    "seed": 7, "batch": 4, "steps": 6, "shards": 3, "rank": 2, "teachers": 4, "capacity": 20,
    "plan": {"shards": 2, "slices": 2, "epochs": 1, "batch": 4, "rows": 4}, "school": {"rank": 2, "lora_alpha": 4.0},
}  # fmt: skip
GONE = ("r03", "r08")
pytestmark = pytest.mark.parametrize("entry", LEARNERS, ids=lambda e: e.name)


def table(records: Sequence[Record], seed: int = 0) -> Table:
    """Features that follow from a record's id, about a centre for its class."""
    dice = [np.random.default_rng([seed, *r.id.encode()]) for r in records]
    x = np.stack([d.gamma(2.0, size=4) + 2 * (r.label or 0) for d, r in zip(dice, records, strict=True)])
    return Table(tuple(r.id for r in records), x, np.array([r.label for r in records]))


@dataclass(frozen=True)
class Taken:
    """Data of one kind: made of records."""

    make: Callable[[Sequence[Record]], Any]


def public() -> Table:
    return table([replace(r, id=f"p{r.id}") for r in RECORDS], 1)


KINDS: Mapping[str, Taken] = {
    "Table": Taken(table),
    "Corpus": Taken(lambda records: Corpus(worlds.llama(), tuple(records))),
    "Grouped": Taken(lambda records: Grouped(table(records), {r.id: len(r.prompt) % 2 for r in records})),
    "Examples": Taken(lambda records: Examples(table(records), tuple(records))),
    "Mapping": Taken(words),
    "Lesson": Taken(lambda records: Lesson(table(records), public())),
}


def made(entry: Entry) -> tuple[Any, Taken]:
    """The learner with settings for small data, and the data that it learns from."""
    cls = find("learner", entry.name)
    kind = cls.fit.__annotations__["data"]
    kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    for given in (
        SETTINGS,
        {**SETTINGS, "plan": SETTINGS["plan"] | {"shards": 1, "slices": 1}},
        {k: v for k, v in SETTINGS.items() if k != "school"},
        {},
    ):
        known = {f.name for f in fields(cls)}
        try:
            return build("learner", entry.name, {k: v for k, v in given.items() if k in known}), KINDS[kind]
        except InputError:
            continue
    raise AssertionError("no setting fits")


def records_for(entry: Entry) -> tuple[Record, ...]:
    """Enough rows for the learner: the world's, or five times as many for what draws batches of a fixed size."""
    many = [replace(r, id=f"{r.id}-{k}") for k in range(5) for r in RECORDS]
    return RECORDS if made(entry)[1] is KINDS["Corpus"] else (*RECORDS, *many)


def essence(thing: object) -> object:
    """What a state or a release is, to the last bit: tensors and arrays as bytes, models and edits by digest."""
    if isinstance(thing, LM | Edit):
        return thing.digest()
    if isinstance(thing, torch.Tensor):
        thing = thing.detach().cpu().numpy()
    if isinstance(thing, np.ndarray):
        return thing.dtype.str, thing.shape, thing.tobytes()
    if isinstance(thing, Corpus):
        return thing.lm.digest(), *sorted(r.id for r in thing.records)
    if is_dataclass(thing):
        counted = {"trained"}  # how much the last change took
        return type(thing).__name__, *(
            (f.name, essence(getattr(thing, f.name))) for f in fields(thing) if f.name not in counted
        )
    if isinstance(thing, Mapping):
        return tuple(sorted((repr(k), essence(v)) for k, v in thing.items()))
    if isinstance(thing, tuple | list):
        return tuple(map(essence, thing))
    if isinstance(thing, set | frozenset):
        return tuple(sorted(map(repr, thing)))
    return repr(thing) if not hasattr(thing, "__dict__") else (type(thing).__name__, essence(vars(thing)))


@cache
def course(entry: Entry) -> tuple[Any, Any, Any, Any, Guarantee]:
    """The learner, its state before, that state's essence then, the state after a deletion, and what that claims."""
    learner, kind = made(entry)
    state = learner.fit(kind.make(records_for(entry)))
    before = essence(state)
    after, guarantee = learner.delete(state, list(GONE))
    return learner, state, before, after, guarantee


def test_the_same_rows_in_another_order_make_the_same_state(entry: Entry) -> None:
    learner, state, _, _, _ = course(entry)
    kind = made(entry)[1]
    again = learner.fit(kind.make(records_for(entry)[::-1]))
    assert essence(learner.release(again)) == essence(learner.release(state))


def test_a_deletion_leaves_the_state_before_it_and_the_model_alone(entry: Entry) -> None:
    model = worlds.llama().digest()
    learner, state, before, after, _ = course(entry)
    assert essence(state) == before
    assert essence(after) != before
    learner.release(after)
    assert essence(state) == before
    assert worlds.llama().digest() == model


def test_what_equals_retraining_is_what_training_without_the_rows_makes(entry: Entry) -> None:
    learner, _, _, after, guarantee = course(entry)
    if guarantee.level != "retrain-equal":
        assert guarantee.kind != "exact" or guarantee.level == "influence-free"
        return
    left = [r for r in records_for(entry) if r.id not in GONE]
    clean = learner.fit(made(entry)[1].make(left))
    assert essence(learner.release(after)) == essence(learner.release(clean))


def test_what_the_deleted_rows_said_leaves_no_trace_where_that_is_claimed(entry: Entry) -> None:
    """A canary: other words, features and classes in the rows that go, and the release after it is the same."""
    learner, _, _, after, guarantee = course(entry)
    if guarantee.kind != "exact":
        return
    kind = made(entry)[1]
    other = [
        replace(r, prompt="salt and wind", answer="wind", label=1 - (r.label or 0)) if r.id in GONE else r
        for r in records_for(entry)
    ]
    changed, _ = learner.delete(learner.fit(kind.make(other)), list(GONE))
    assert essence(learner.release(changed)) == essence(learner.release(after))


def test_a_deletion_claims_no_more_than_is_announced(entry: Entry) -> None:
    _, _, _, _, guarantee = course(entry)
    assert STRENGTH.index(guarantee.kind) >= STRENGTH.index(entry.guarantee)
    assert guarantee.claim
    assert all(np.isfinite(v) for v in guarantee.numbers.values())


def test_ids_that_cannot_go_are_refused_without_being_named(entry: Entry) -> None:
    learner, state, before, after, _ = course(entry)
    for ids in (["nobody-known"], ["r01", "r01"], [GONE[0]]):
        with pytest.raises(InputError) as refused:
            learner.delete(after if ids == [GONE[0]] else state, ids)
        assert "\n" not in str(refused.value)
        assert not any(i in str(refused.value) for i in ids)
    assert essence(state) == before


def test_states_show_no_rows(entry: Entry) -> None:
    _, state, _, after, _ = course(entry)
    for shown in (repr(state), repr(after)):
        assert not any(r.prompt in shown or r.answer in shown for r in RECORDS)


def test_it_is_documented_with_a_reference_and_an_example(entry: Entry) -> None:
    assert entry.doc.split("\n")[0].endswith((".", ":"))
    assert re.search(r"\d{4}", entry.paper) or "Reference:" in entry.doc
    example = re.search(r"Example: ``(.+?)``", entry.doc, re.DOTALL)
    assert example
    ast.parse(example[1], mode="eval")
