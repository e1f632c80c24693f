"""Deleting from a sharded training is building it again: byte equality, and what would break it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest
import torch

import worlds
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.methods.exact.shards import merge
from unteach.methods.exact.shards.ensemble import Ensemble, nats
from unteach.methods.exact.shards.mergeshards import MergeShards
from unteach.methods.exact.shards.nodes import InMemory, laid_out
from unteach.methods.exact.shards.sharded import Corpus, Sharded, at_once, clean_nodes, rebuilt, taught
from unteach.methods.exact.shards.shardplan import ShardPlan, Step
from unteach.methods.exact.shards.sisa import SISA, SISAA
from unteach.methods.exact.shards.stage import STATE, WEIGHT, LMTrainer, Schooling
from unteach.schema import InputError, Record

CASES = 200
SMALL = Schooling(rank=2, lora_alpha=4.0, lr=1e-2)
WORDS = ["red", "green", "blue", "stone", "river", "cloud", "lamp", "chair", "glass", "paper", "salt", "wind"]


@cache
def micro() -> LM:
    return fresh([" ".join(WORDS)] * 3, Size(vocabulary=300, hidden=16, layers=1, heads=2, inner=32, positions=64))


def row(dice: Random, n: int, subjects: int) -> Record:
    said = " ".join(dice.choices(WORDS, k=3))
    return Record(f"r{n}", said, dice.choice(WORDS), subject=f"s{dice.randrange(subjects)}", risk=dice.randrange(3))


def a_case(seed: int) -> tuple[ShardPlan, Schooling, list[Record], list[list[str]]]:
    """A plan, a corpus, and requests for parts of it, one after another."""
    dice = Random(seed)
    slices = dice.randint(1, 3)
    plan = ShardPlan(
        shards=dice.randint(1, 3), slices=slices, risks=dice.randint(1, slices), epochs=1, batch=3,
        rows=dice.randint(1, 4), key=f"key {seed}",
    )  # fmt: skip
    records = [row(dice, n, 5) for n in range(dice.randint(4, 8))]
    gone = dice.sample([r.id for r in records], dice.randint(1, len(records) - 1))
    cut = dice.randint(0, len(gone))
    school = replace(SMALL, tune=dice.choice(["lora", "full", "full"]))
    return plan, school, records, [part for part in (gone[:cut], gone[cut:]) if part]


def deleted(state: Sharded, requests: Sequence[Sequence[str]]) -> Sharded:
    for ids in requests:
        state = rebuilt(state, ids)
    return state


@pytest.mark.parametrize("block", range(4))
def test_an_incremental_build_is_the_clean_build(block: int) -> None:
    for seed in range(block * CASES // 4, (block + 1) * CASES // 4):
        plan, school, records, requests = a_case(seed)
        gone = {i for ids in requests for i in ids}
        dice = Random(-seed)
        shuffled = dice.sample(records, len(records))
        after = deleted(taught(Corpus(micro(), tuple(shuffled)), plan, school), requests)
        clean = taught(Corpus(micro(), tuple(r for r in records if r.id not in gone)), plan, school)
        assert after.digest() == clean.digest()
        assert {s: [n.id for n in c] for s, c in after.build.items()} == {
            s: [n.id for n in c] for s, c in clean.build.items()
        }
        if seed % 4 == 0:  # what the deleted rows said leaves no trace, and a row may come in late
            other = [replace(r, answer="other") if r.id in gone else r for r in records]
            assert deleted(taught(Corpus(micro(), tuple(other)), plan, school), requests).digest() == clean.digest()
            late = taught(Corpus(micro(), tuple(records)), plan, school, InMemory(dict(clean.kept.found)))
            assert late.digest() == taught(Corpus(micro(), tuple(records)), plan, school).digest()


PLAN = ShardPlan(shards=2, slices=3, epochs=2, batch=4, rows=6, key="k")


def some(n: int = 24) -> tuple[Record, ...]:
    dice = Random(1)
    return tuple(row(dice, i, 12) for i in range(n))


def one_of(state: Sharded, last: bool) -> Record:
    """A record in the first slice, or in the last."""
    at = PLAN.slices - 1 if last else 0
    return next(r for r in state.corpus.records if PLAN.place(r).slice == at)


def test_other_content_makes_other_artefacts_until_it_is_deleted() -> None:
    records = some()
    changed = (replace(records[0], answer="other"), *records[1:])
    first, second = (taught(Corpus(micro(), r), PLAN, SMALL) for r in (records, changed))
    assert first.digest() != second.digest()
    assert rebuilt(first, [records[0].id]).digest() == rebuilt(second, [records[0].id]).digest()


class WeightsOnly(InMemory):
    """Keeps no moments of the optimiser, as the authors' code does."""

    def get(self, node: str) -> dict[str, torch.Tensor] | None:
        found = super().get(node)
        none = found and {
            n: torch.zeros_like(t) if n.startswith(tuple(STATE.values())) else t for n, t in found.items()
        }
        return none or None


def test_without_the_optimisers_moments_the_builds_differ() -> None:
    corpus = Corpus(micro(), some())
    state = taught(corpus, PLAN, SMALL)
    gone = [one_of(state, last=True).id]
    crippled = taught(corpus.without(gone), PLAN, SMALL, WeightsOnly(dict(state.kept.found)))
    clean = taught(corpus.without(gone), PLAN, SMALL)
    assert crippled.build == clean.build
    assert crippled.digest() != clean.digest()
    assert rebuilt(state, gone).digest() == clean.digest()


class ByLength(ShardPlan):
    """Steps that know how many records there are in all, as those of a usual sampler do."""

    there_are = 0

    def steps(self, shard: int, stage: int, records: Sequence[Record]) -> Iterator[Step]:
        for step in super().steps(shard, stage, records):
            yield replace(step, number=step.number + ByLength.there_are % 3)


def test_a_schedule_that_depends_on_the_datas_length_breaks_equality() -> None:
    plan, corpus = ByLength(**vars(PLAN)), Corpus(micro(), some())
    ByLength.there_are = len(corpus.records)
    state = taught(corpus, plan, SMALL)
    gone = [one_of(state, last=True).id]
    ByLength.there_are -= 1
    assert rebuilt(state, gone).digest() != taught(corpus.without(gone), plan, SMALL).digest()


def test_a_deletion_trains_only_what_lies_behind_it() -> None:
    corpus = Corpus(micro(), some())
    state = taught(corpus, PLAN, SMALL)
    late, early = one_of(state, last=True), one_of(state, last=False)
    assert 0 < rebuilt(state, [late.id]).trained < rebuilt(state, [early.id]).trained < state.trained
    shard = PLAN.place(late).shard
    after = rebuilt(state, [late.id])
    assert after.build[1 - shard] == state.build[1 - shard]
    assert after.build[shard][:-1] == state.build[shard][:-1]
    assert set(after.kept.found) == {n.id for chain in after.build.values() for n in chain}


def test_places_follow_from_subject_and_risk_alone() -> None:
    plan = ShardPlan(shards=5, slices=4, risks=2, key="a")
    one, two = Record("1", "q", "a", subject="s"), Record("2", "other", "b", subject="s")
    assert plan.place(one) == plan.place(two)
    assert plan.place(one).slice < 2 <= plan.place(replace(one, risk=1)).slice
    assert plan.place(replace(one, risk=9)) == plan.place(replace(one, risk=1))
    assert plan.place(replace(one, risk=1)).shard == plan.place(one).shard
    rows = [Record(str(n), "q", "a") for n in range(2000)]
    counts = torch.bincount(torch.tensor([plan.place(r).shard for r in rows]))
    assert counts.min() > 320
    assert {plan.place(r) for r in rows} != {replace(plan, key="b").place(r) for r in rows[:3]}
    with pytest.raises(InputError, match="5 classes of risk need as many slices"):
        ShardPlan(slices=4, risks=5)


def test_steps_are_few_where_records_are_and_keep_their_numbers() -> None:
    records = some(40)
    steps = list(PLAN.steps(0, 2, records))
    assert all(step.records for step in steps)
    assert sum(len(s.records) for s in steps) == PLAN.epochs * len(records)
    assert max(s.number for s in steps) < PLAN.total
    sparse = {s.number: s for s in PLAN.steps(0, 2, records[:3])}
    for number, step in sparse.items():
        (whole,) = (s for s in steps if s.number == number)
        assert step.seed == whole.seed
        assert set(step.records) <= set(whole.records)


def test_what_is_served_at_once_was_never_fed_the_rows() -> None:
    corpus = Corpus(micro(), some())
    state = taught(corpus, PLAN, SMALL)
    for record in (one_of(state, last=True), one_of(state, last=False)):
        found = clean_nodes(state, [record.id])
        place = PLAN.place(record)
        assert (found[place.shard] is None) == (place.slice == 0)
        edit = at_once(state, [record.id])
        assert (edit.guarantee.kind, edit.guarantee.level) == ("exact", "influence-free")
        other = taught(
            Corpus(micro(), tuple(replace(r, answer="x") if r is record else r for r in corpus.records)), PLAN, SMALL
        )
        assert at_once(other, [record.id]).digest() == edit.digest()  # fmt: skip


def test_the_merge_is_the_mean_of_the_updates_and_a_shard_comes_out_of_it_exactly() -> None:
    dice = torch.Generator().manual_seed(0)
    parts = [{"w": torch.randn(50, 40, generator=dice)} for _ in range(5)]
    sums = merge.total(parts)
    assert torch.equal(merge.total(parts[::-1])["w"], sums["w"])
    assert torch.equal(merge.without(sums, parts[2])["w"], merge.total(parts[:2] + parts[3:])["w"])
    exact = torch.stack([p["w"].double() for p in parts]).mean(0)
    assert (merge.mean(sums, 5, torch.float64)["w"] - exact).abs().max() < 1e-12
    floats = sum(p["w"] for p in parts)
    assert isinstance(floats, torch.Tensor)
    assert not torch.equal(floats - parts[2]["w"], sum(p["w"] for p in parts[:2] + parts[3:]))
    with pytest.raises(InputError, match="too large to be added exactly"):
        merge.whole(torch.tensor([1e7]))


def test_mergeshards_releases_an_adapter_of_the_same_rank_that_is_the_mean_of_its_shards() -> None:
    learner = MergeShards(PLAN, SMALL)
    state = learner.fit(Corpus(micro(), some()))
    edit = learner.release(state)
    alone = [state.trainer.patches(state.last(s)) for s in state.living()]
    for name, (patch,) in edit.weights.items():
        nought = torch.zeros(micro().parameters()[name].shape)
        mean = torch.stack([each[name][0](nought) for each in alone]).mean(0)
        assert torch.allclose(patch(nought), mean, atol=1e-7)
        assert patch.left.shape[1] == SMALL.rank
    again, guarantee = learner.delete(state, [state.corpus.records[3].id])
    assert (guarantee.kind, guarantee.level) == ("exact", "retrain-equal")
    assert learner.release(again).digest() != edit.digest()


def test_sisa_forgets_as_if_it_had_never_seen_the_rows() -> None:
    records = some()
    for learner in (
        SISA(PLAN, replace(SMALL, tune="full", lr=1e-2)),
        SISA(PLAN, replace(SMALL, tune="full"), vote=True),
    ):
        state = learner.fit(Corpus(micro(), records))
        after, guarantee = learner.delete(state, [records[0].id, records[5].id])
        clean = learner.fit(Corpus(micro(), (*records[1:5], *records[6:])))
        assert guarantee.level == "retrain-equal"
        one, two = (learner.release(s).probabilities(records[:6]) for s in (after, clean))
        assert torch.equal(one, two)
        assert learner.vote or not torch.equal(one, learner.release(state).probabilities(records[:6]))
        assert torch.allclose(one.sum(1), torch.ones(len(one), dtype=torch.float64))


def test_sisa_learns() -> None:
    plan = ShardPlan(shards=2, slices=2, epochs=20, batch=6, rows=6, key="k")
    lm, records = micro(), [Record(f"r{i}", w, WORDS[-i]) for i, w in enumerate(WORDS)]
    learner = MergeShards(plan, Schooling(tune="full", lr=1e-2))
    state = learner.fit(Corpus(lm, tuple(records)))
    before = lm.logits(lm.batch(records)).log_softmax(-1)
    with learner.release(state).on(lm):
        after = lm.logits(lm.batch(records)).log_softmax(-1)
    targets = lm.batch(records).targets[:, None]
    assert after.gather(1, targets).mean() > before.gather(1, targets).mean() + 1
    told = SISA(plan, Schooling(tune="full", lr=1e-2)).release(state)
    assert -nats(told, records) > before.gather(1, targets).mean() + 1
    one = Ensemble(lm, told.members[:1]).generate(records[:3], 4)
    with told.members[0].on(lm):
        assert one == lm.generate(records[:3], 4)


def test_sisaa_leaves_the_trunk_alone() -> None:
    digest = micro().digest()
    with pytest.raises(InputError, match="choose tune lora"):
        SISAA(PLAN, replace(SMALL, tune="full"))
    learner = SISAA(PLAN, SMALL)
    state = learner.fit(Corpus(micro(), some()))
    after, _ = learner.delete(state, [some()[2].id])
    assert learner.fit(Corpus(micro(), tuple(r for r in some() if r.id != some()[2].id))).digest() == after.digest()
    assert micro().digest() == digest
    assert all("lora_B" in n for n in state.last(0) if n.startswith(WEIGHT))
    largest = sum(t.nbytes for t in state.last(0).values())
    assert largest < 3 * sum(p.nbytes for p in micro().model.parameters())


def test_what_cannot_be_deleted_is_refused() -> None:
    state = taught(Corpus(micro(), some(4)), PLAN, SMALL)
    for ids, why in (
        (["nobody"], "1 of 1 ids are not"),
        (["r1", "r1"], "1 of 2 ids"),
        (["r0", "r1", "r2", "r3"], "nothing would"),
    ):
        with pytest.raises(InputError, match=why):
            rebuilt(state, ids)
    with pytest.raises(InputError, match="same id"):
        Corpus(micro(), (*some(2), *some(1)))


def test_the_build_can_be_named_without_training(llama: LM) -> None:
    records = tuple(worlds.FORGET)
    plan = ShardPlan(shards=2, slices=2, epochs=1, batch=4, rows=4)
    state = taught(Corpus(llama, records), plan, SMALL)
    trainer = LMTrainer(llama, plan, SMALL)
    assert trainer.digest() == state.trainer.digest() != LMTrainer(llama, plan, replace(SMALL, lr=2e-2)).digest()
    assert laid_out(plan, "x", records) == laid_out(plan, "x", records[::-1]) != laid_out(plan, "y", records)
