"""Learners on the plan that survives deletions: after one they are as if they had never met the rows."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest
import torch
from torch import Tensor

from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.methods.exact.shards.ensemble import Ensemble
from unteach.methods.exact.shards.leaveoneout import LeaveOneOut, Teachers
from unteach.methods.exact.shards.periodicretrain import DAY, PeriodicRetrain
from unteach.methods.exact.shards.retrain import Retrain
from unteach.methods.exact.shards.s3t import S3T
from unteach.methods.exact.shards.sharded import Corpus
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.siftmasks import Local, SiftMasks
from unteach.methods.exact.shards.stage import Schooling
from unteach.schema import InputError, Record

SMALL = Schooling(rank=2, lora_alpha=4.0, lr=1e-2)
FULL = replace(SMALL, tune="full")
ONE = ShardPlan(shards=1, slices=1, epochs=2, batch=4, rows=12, key="k")
WORDS = ["red", "green", "blue", "stone", "river", "cloud", "lamp", "chair"]


@cache
def tiny() -> LM:
    """Three layers of random weights."""
    return fresh([" ".join(WORDS)] * 3, Size(vocabulary=290, hidden=16, layers=3, heads=2, inner=32, positions=64))


def rows(n: int = 12, subjects: int = 6) -> tuple[Record, ...]:
    dice = Random(5)
    said = [(" ".join(dice.choices(WORDS, k=3)), dice.choice(WORDS)) for _ in range(n)]
    return tuple(Record(f"r{i}", q, a, subject=f"s{i % subjects}", label=i % 3) for i, (q, a) in enumerate(said))


def corpus(records: Sequence[Record] = rows()) -> Corpus:
    return Corpus(tiny(), tuple(records))


def other(records: Sequence[Record], gone: Sequence[str]) -> Corpus:
    """The corpus where the rows of these ids say something else."""
    return corpus([replace(r, prompt="salt", answer="wind wind") if r.id in gone else r for r in records])


def digests(told: Ensemble) -> list[str]:
    return [edit.digest() for edit in told.members]


def nothing_of(edit: Edit) -> Edit:
    """A member that refuses to be asked."""
    return replace(edit, base="nobody's")


@pytest.mark.parametrize("school", [SMALL, FULL])
def test_retraining_is_training_without_the_rows(school: Schooling) -> None:
    learner, gone = Retrain(ONE, school), ["r2", "r7"]
    state = learner.fit(corpus())
    after, guarantee = learner.delete(state, gone)
    clean = learner.fit(corpus([r for r in rows()[::-1] if r.id not in gone]))
    assert learner.release(after).digest() == learner.release(clean).digest() != learner.release(state).digest()
    assert (guarantee.kind, guarantee.level) == ("exact", "retrain-equal")
    assert guarantee.numbers["trained"] == ONE.epochs * (len(rows()) - 2)
    with pytest.raises(InputError, match="1 shard and 1 slice"):
        Retrain(ShardPlan())


def test_requests_wait_for_one_another_and_are_served_by_one_build() -> None:
    learner = PeriodicRetrain(ONE, SMALL, every=3)
    state = first = learner.fit(corpus())
    for n, id in enumerate(["r1", "r2"], 1):
        state, guarantee = learner.delete(state, [id])
        assert (guarantee.kind, guarantee.numbers["waiting"], learner.due(state)) == ("none", n, False)
        assert learner.release(state).guarantee == guarantee
        assert f"{n} of them" in guarantee.claim
    assert learner.release(state).weights.keys() == learner.release(first).weights.keys()
    assert state.built is first.built
    with pytest.raises(InputError, match="given twice"):
        learner.delete(state, ["r1"])
    with pytest.raises(InputError, match="call serve"):
        learner.delete(state, [])
    clean = [learner.release(learner.fit(corpus().without(ids))).digest() for ids in (["r1", "r2"], ["r1", "r2", "r5"])]
    soon, guarantee = learner.serve(state)
    assert (guarantee.level, soon.ids, learner.release(soon).digest()) == ("retrain-equal", (), clean[0])
    full, guarantee = learner.delete(state, ["r5"])
    assert (guarantee.level, full.ids, learner.release(full).digest()) == ("retrain-equal", (), clean[1])
    assert state.since is not None
    late = replace(state, since=state.since - 31 * DAY)
    assert learner.due(late)
    assert not learner.due(replace(late, since=state.since - 29 * DAY))
    assert learner.release(learner.delete(late, ["r5"])[0]).digest() == clean[1]


TWO = ShardPlan(shards=2, slices=1, epochs=3, batch=4, rows=6, key="k")


def poisoned(teachers: Teachers, shard: int) -> Teachers:
    members = {s: nothing_of(e) if s == shard else e for s, e in teachers.members.items()}
    return replace(teachers, members=members)


def test_the_teacher_of_a_record_is_never_asked_about_it() -> None:
    learner, lm = LeaveOneOut(TWO, FULL), tiny()
    teachers = learner.release(learner.fit(corpus()))
    record = rows()[0]
    own = TWO.place(record).shard
    silent = poisoned(teachers, own)
    assert torch.equal(silent.logps([record])[0], teachers.logps([record])[0])
    assert silent.generate([record], 3) == teachers.generate([record], 3)
    with pytest.raises(InputError, match="another model"):
        poisoned(teachers, 1 - own).logps([record])
    batch = lm.batch([record])
    with teachers.members[1 - own].on(lm), torch.no_grad():  # of two teachers the other one speaks alone
        alone = lm.logits(batch).double().softmax(-1)
        said = lm.generate([record], 3)
    assert torch.equal(teachers.others([record]).probabilities([record]), alone)
    assert teachers.generate([record], 3) == said
    with pytest.raises(InputError, match="no teacher is left"):
        teachers.others(rows())


def test_a_student_learns_of_a_record_what_the_others_say() -> None:
    learner, lm = LeaveOneOut(TWO, FULL), tiny()
    teachers = learner.release(learner.fit(corpus()))
    record = rows()[0]
    knows = learn(lm, rows(), Plan(tune="full", epochs=6, lr=1e-2, batch_size=4, accumulate=1))
    plan = Plan(tune="full", epochs=40, lr=2e-3, warmup_epochs=0)
    student = teachers.student(knows, [record], plan)
    goal = teachers.others([record]).probabilities([record])

    def divergence(edit: Edit) -> float:
        with edit.on(lm), torch.no_grad():
            said = lm.logits(lm.batch([record])).double().log_softmax(-1)
        return float((goal * (goal.log() - said)).sum(1).mean())

    assert divergence(student) < divergence(knows) / 20
    assert student.guarantee.kind == "empirical"
    silent = poisoned(teachers, TWO.place(record).shard).student(knows, [record], plan)
    assert silent.digest() == student.digest()


def test_a_teacher_that_read_deleted_rows_is_gone_until_it_is_rebuilt() -> None:
    plan = replace(TWO, shards=3, slices=2, rows=3)
    learner, gone = LeaveOneOut(plan, SMALL), ["r0", "r3"]
    touched = {plan.place(r).shard for r in rows() if r.id in gone}
    state = learner.fit(corpus())
    after, guarantee = learner.delete(state, gone)
    assert (guarantee.level, after.trained) == ("influence-free", 0)
    assert learner.release(after).members.keys() == learner.release(state).members.keys() - touched
    told = learner.delete(learner.fit(other(rows(), gone)), gone)[0]
    parts = [[e.digest() for e in learner.release(s).members.values()] for s in (after, told)]
    assert parts[0] == parts[1]
    assert after.kept.found.keys() == told.kept.found.keys()
    clean = learner.fit(corpus().without(gone))
    for half in (after, told, learner.delete(learner.delete(state, gone[1:])[0], gone[:1])[0]):
        whole, guarantee = learner.rebuild(half)
        assert guarantee.level == "retrain-equal"
        assert (whole.digest(), whole.build) == (clean.digest(), clean.build)
        assert whole.kept.found.keys() == clean.kept.found.keys()
    with pytest.raises(InputError, match="2 shards or more"):
        LeaveOneOut(ONE)


LAYERS = ShardPlan(shards=2, slices=3, epochs=1, batch=4, rows=4, key="k")


def test_what_s3t_releases_never_read_the_deleted_rows() -> None:
    learner, dice = S3T(LAYERS, SMALL, orders=2), Random(0)
    state = learner.fit(corpus())
    shortened = False
    for _ in range(3):
        gone = dice.sample([r.id for r in rows()], 2)
        after, guarantee = learner.delete(state, gone)
        told, _ = learner.delete(learner.fit(other(rows(), gone)), gone)
        assert guarantee.level == "influence-free"
        assert digests(learner.release(after)) == digests(learner.release(told))
        steps, _ = learner.delete(learner.delete(state, gone[:1])[0], gone[1:])
        assert digests(learner.release(steps)) == digests(learner.release(after))
        shortened |= digests(learner.release(after)) != digests(learner.release(state))
        unlike = learner.fit(other(rows(), gone))
        assert digests(learner.release(unlike)) != digests(learner.release(state))
    assert shortened


def test_groups_of_layers_are_trained_from_the_top_and_switched_off_from_the_bottom() -> None:
    plan = replace(LAYERS, shards=1)
    learner = S3T(plan, SMALL, orders=3)
    state = learner.fit(corpus())
    for groups in state.groups.values():
        assert [{int(n.split(".")[2]) for n in g} for g in groups] == [{2}, {1}, {0}]
    record = next(r for r in rows() if plan.place(r).slice == 1)
    after, _ = learner.delete(state, [record.id])
    assert {turn: len(g) for (_, turn), g in after.groups.items()} == {0: 1, 1: 2, 2: 0}
    assert len(after.longest()[0]) == 2
    for key, groups in after.groups.items():
        assert all(a is b for a, b in zip(groups, state.groups[key], strict=False))
    firsts = {plan.place(r): r.id for r in after.corpus.records}
    nothing, guarantee = learner.delete(after, list(firsts.values()))
    assert {p.slice for p in firsts} == {0, 1, 2}
    assert guarantee.numbers == {"shards": 0, "groups": 0}
    with pytest.raises(InputError, match="fit again"):
        learner.release(nothing)
    with pytest.raises(InputError, match="the model has 3"):
        S3T(replace(plan, slices=4), SMALL).fit(corpus())


def lasting(learner: S3T, dice: Random) -> int:
    """Requests for slices of shards, until every order of every shard has lost its first slice."""
    plan, hit, count = learner.plan, {s: set[int]() for s in range(learner.plan.shards)}, 0
    while any(learner.clean(slices, t) for slices in hit.values() for t in learner.turns):
        hit[dice.randrange(plan.shards)].add(dice.randrange(plan.slices))
        count += 1
    return count


@pytest.mark.parametrize(("orders", "reported"), [(1, 70), (2, 88), (4, 107), (6, 116)])
def test_s3t_outlasts_sisa(orders: int, reported: float) -> None:
    learner, dice = S3T(ShardPlan(shards=5, slices=6), orders=orders), Random(orders)
    mean = sum(lasting(learner, dice) for _ in range(500)) / 500
    expected = 30 * sum(1 / n for n in range(1, 5 * orders + 1))
    assert mean == pytest.approx(expected, rel=0.05)
    assert mean == pytest.approx(reported, rel=0.07)  # simulated by the authors' code for five shards of six slices
    sisa = sum(lasting(S3T(ShardPlan(shards=5, slices=1), orders=1), dice) for _ in range(500)) / 500
    assert sisa == pytest.approx(11.4, rel=0.07)
    assert mean > 5 * sisa


def bits(local: Local) -> dict[str, Tensor]:
    kept = {f"{t} {n}": m for t in local.tasks for n, m in local.mask(t).items()}
    return kept | dict(local.state.total)


@pytest.mark.parametrize(("school", "by"), [(SMALL, "subject"), (FULL, "label")])
def test_a_task_that_is_subtracted_was_never_added(school: Schooling, by: str) -> None:
    learner = SiftMasks(replace(ONE, rows=4, epochs=1), school, "subject" if by == "subject" else "label")
    some = rows(8, 4)
    state = learner.fit(corpus(some))
    task = learner.task_of(some[0])
    gone = [r.id for r in some if learner.task_of(r) == task]
    for ids in (gone, [*gone[:1], "r1"]):
        one, guarantee = learner.delete(state, ids)
        two = state
        for id in ids[::-1]:
            two, _ = learner.delete(two, [id])
        told, _ = learner.delete(learner.fit(other(some, ids)), ids)
        clean = learner.fit(corpus(some).without(ids))
        want = bits(learner.release(clean))
        assert guarantee.level == "retrain-equal"
        for found in (one, two, told):
            have = bits(learner.release(found))
            assert have.keys() == want.keys()
            assert all(torch.equal(have[n], want[n]) for n in want)
        last = learner.release(one).tasks[-1]
        assert learner.release(one).edit(last).digest() == learner.release(clean).edit(last).digest()
        assert learner.release(one).edit(last).digest() != learner.release(state).edit(last).digest()
    assert learner.delete(state, gone)[0].trained == 0
    with pytest.raises(InputError, match="no such task"):
        learner.release(learner.delete(state, gone)[0]).edit(task)


def test_vectors_of_tasks_never_pull_against_each_other() -> None:
    learner = SiftMasks(replace(ONE, rows=4, batch=2), FULL)
    state, lm = learner.fit(corpus()), tiny()
    for name, total in state.total.items():
        vectors = torch.stack([v[name] for v in state.vectors.values()])
        assert not ((vectors > 0).any(0) & (vectors < 0).any(0)).any()
        assert (total != 0).sum() <= (vectors != 0).any(0).sum()
    moved = torch.cat([v.flatten() for v in next(iter(state.vectors.values())).values()]).ne(0).float().mean()
    assert 0.1 < moved < 0.6
    local = learner.release(state)
    delta = local.edit(local.tasks[0]).delta(lm)
    for name, seen in local.mask(local.tasks[0]).items():
        assert not delta[name][~seen].any()
    assert any(d.any() for d in delta.values())
    with pytest.raises(InputError, match="1 shard and 1 slice"):
        SiftMasks(ShardPlan())
