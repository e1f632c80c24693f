"""A year of deletions under plans that were never trained."""

import random

import pytest

from unteach.methods.exact.shards.nodes import laid_out
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.schema import InputError, Record
from unteach.service.whatif import Stream, layouts, table, year

ROWS = [
    Record(f"{s}/{n}", "q", "a", subject=f"s{s}", risk=7 if s % 8 == 0 else s % 7) for s in range(120) for n in range(3)
]


def test_a_deletion_costs_the_stages_that_a_build_would_train_again() -> None:
    """Counted by the names of the nodes: what the clean build of the rest does not share with the build before."""
    plan = ShardPlan(shards=5, slices=4, rows=18)
    found = year(ROWS, plan, Stream(monthly=3, deadline=0))
    names = {n.id for chain in laid_out(plan, "x", ROWS).values() for n in chain}
    spent, left = [], ROWS
    asked = {r.subject for r in ROWS}
    dice = random.Random(0)
    for gone in dice.sample(sorted(asked), 30):
        left = [r for r in ROWS if r.subject != gone]
        spent.append(sum(n.trained for c in laid_out(plan, "x", left).values() for n in c if n.id not in names))
    assert found.alone == pytest.approx(sum(spent) / len(spent), rel=0.25)  # other subjects were drawn
    assert found.whole == sum(n.trained for c in laid_out(plan, "x", ROWS).values() for n in c)
    assert found.stages == 20


def test_one_shard_and_slice_is_retraining() -> None:
    found = year(ROWS, ShardPlan(shards=1, slices=1, rows=360), Stream(monthly=4, deadline=0))
    assert found.yearly == found.again
    assert found.shards == 1


def test_more_shards_and_longer_deadlines_cost_less() -> None:
    plans = layouts("1x1,4x4,20x8", ShardPlan(), len(ROWS))
    years = [year(ROWS, p, Stream(monthly=4, deadline=0)) for p in plans]
    assert years[0].yearly > 2 * years[1].yearly > 4 * years[2].yearly
    patient = [year(ROWS, p, Stream(monthly=4, deadline=90)) for p in plans]
    assert all(p.yearly < y.yearly and p.builds < y.builds for p, y in zip(patient, years, strict=True))
    assert len({len(line) for line in table(years)}) == 1


def test_risky_subjects_in_late_slices_cost_less() -> None:
    stream = Stream(monthly=4, deadline=0, risky=0.9)
    plain, sorted_ = (layouts("4x8", ShardPlan(risks=r, slices=8), len(ROWS))[0] for r in (1, 8))
    assert year(ROWS, sorted_, stream).alone < 0.7 * year(ROWS, plain, stream).alone


def test_what_cannot_be_imagined_is_refused() -> None:
    for text in ("4", "4x0", "axb", "4x4,"):
        with pytest.raises(InputError, match="shards x slices"):
            layouts(text, ShardPlan(), 10)
    with pytest.raises(InputError, match="risky share"):
        Stream(risky=2.0)
    with pytest.raises(InputError, match="two subjects"):
        year(ROWS[:3], ShardPlan(), Stream())
