"""Demonstrations that left the store are shown no more, and nothing that is shown tells of them."""

from dataclasses import replace

import numpy as np
import pytest
from statebits import bits_of, requests

import worlds
from unteach.lm.heads import Table
from unteach.methods.exact.heads.erase import ERASE, Examples, examples
from unteach.methods.exact.heads.qkmeans import QKMeans
from unteach.schema import InputError, Record

LEARNER = ERASE(shots=2, clusters=QKMeans(k=4, lattice=2.0))


def stored(n: int = 30, seed: int = 0) -> Examples:
    """Examples with features in two dimensions."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"row-{i}" for i in range(n))
    x = rng.integers(-1, 2, (n, 2)) * 10 + rng.normal(size=(n, 2))
    return Examples(Table(ids, x, np.zeros(n, int)), tuple(Record(i, f"question {i}?", f"answer {i}") for i in ids))


def less(held: Examples, out: list[str]) -> Examples:
    """The examples without some."""
    return Examples(held.table.without(out), tuple(r for r in held.records if r.id not in out))


def test_a_store_without_examples_is_the_one_that_never_had_them() -> None:
    anew = 0.0
    for seed in range(20):
        held = stored(10 + seed, seed)
        state, out = LEARNER.fit(held), []
        for batch in requests(held.table.ids, seed):
            state, guarantee = LEARNER.delete(state, batch)
            out += batch
            anew += guarantee.numbers["retrained"]
            assert "not the base model" in guarantee.claim
        fresh = LEARNER.fit(less(held, out))
        assert bits_of(state) == bits_of(fresh)
        assert bits_of(LEARNER.release(state)) == bits_of(LEARNER.release(fresh))
        assert not {r.id for r in LEARNER.release(state).records} & set(out)
    assert anew > 0


def test_what_a_deleted_example_said_leaves_no_trace() -> None:
    held = stored()
    x = held.table.x.copy()
    x[4] = 25.0
    records = (*(r for r in held.records if r.id != held.table.ids[4]), Record(held.table.ids[4], "canary?", "canary"))
    other = Examples(replace(held.table, x=x), records)
    left = [LEARNER.delete(LEARNER.fit(e), [held.table.ids[4]])[0] for e in (held, other)]
    assert bits_of(left[0]) == bits_of(left[1])


def test_each_cluster_is_stood_for_by_the_row_nearest_to_its_centroid() -> None:
    held = stored()
    state = LEARNER.fit(held)
    clusters, shown = LEARNER.clusters.release(state.clustered), LEARNER.release(state)
    found = clusters(held.table.x)
    for c in sorted(set(found.tolist())):
        mine = np.flatnonzero(found == c)
        apart = ((held.table.x[mine] - clusters.centroids[c]) ** 2).sum(1)
        assert held.table.ids[mine[apart.argmin()]] in {r.id for r in shown.records}
    assert len(shown.records) == len(set(found.tolist()))


def test_the_nearest_demonstrations_stand_before_the_question_the_nearest_last() -> None:
    held = stored()
    shown = LEARNER.release(LEARNER.fit(held))
    places = dict(zip(held.table.ids, held.table.x, strict=True))
    x = np.array([4.0, -7.0])
    order = sorted(shown.records, key=lambda r: ((places[r.id] - x) ** 2).sum())
    assert shown(x) == (order[1], order[0])
    first, second = order[1], order[0]
    assert shown.prompt(x, "what?") == (
        f"{first.prompt} {first.answer}\n\n{second.prompt} {second.answer}\n\nwhat?"
    )  # fmt: skip


def test_records_get_the_features_of_a_model_that_stays_as_it_is() -> None:
    lm = worlds.llama()
    before = {name: p.clone() for name, p in lm.parameters().items()}
    learner = ERASE(shots=3, clusters=QKMeans(k=3, lattice=0.01))
    held = examples(lm, worlds.RECORDS)
    state, _ = learner.delete(learner.fit(held), ["town-3", "town-7"])
    shown = learner.release(state)
    prompts = [shown.prompt(x, "What is it?") for x in held.table.x]
    assert all(p.endswith("\n\nWhat is it?") and "Velmont" not in p.split("\n\n")[-1] for p in prompts)
    gone = [r for r in worlds.RECORDS if r.id in ("town-3", "town-7")]
    assert not [r for r in gone if any(r.answer in p for p in prompts)]
    assert all(p.equal(before[name]) for name, p in lm.parameters().items())
    assert "Velmont" not in repr(state)
    assert "Velmont" not in repr(shown)


def test_examples_and_stores_that_cannot_be_are_refused() -> None:
    held = stored()
    with pytest.raises(InputError, match="one row of features for each record"):
        Examples(held.table, held.records[1:])
    state, _ = LEARNER.delete(LEARNER.fit(held), held.table.ids)
    with pytest.raises(InputError, match="no row left to cluster"):
        LEARNER.release(state)
    with pytest.raises(InputError, match="are not held"):
        LEARNER.delete(state, ["row-1"])
    with pytest.raises(InputError, match="'shots' from 1 on"):
        ERASE(shots=0)
