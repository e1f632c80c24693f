"""Statistics that stream are those of all tokens at once; what forget rows use more goes, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from zeroed import marks, zeroed

import families
import worlds
from unteach.lm.anatomy import anatomy
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.neurons.activity import IMPORTANCES, Activity, Importance, activities, activity
from unteach.methods.neurons.selectivepruning import SelectivePruning, ratio
from unteach.schema import InputError, Record, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
SWAPPED = Request(forget=worlds.RETAIN, retain=worlds.FORGET)
SLOW = {
    "abs": lambda a: np.abs(a).mean(0),
    "freq": lambda a: (a > 0).mean(0),
    "rms": lambda a: np.sqrt((a**2).mean(0)),
    "std": lambda a: a.std(0),
}


def every_importance(seen: Activity) -> dict[str, NDArray[np.float64]]:
    return {name: of(seen).numpy() for name, of in IMPORTANCES.items()}


@pytest.mark.parametrize("cuts", [(), (1,), (2, 3, 40), (10, 20, 30, 40, 50)])
def test_statistics_in_parts_are_those_of_the_whole_even_far_from_zero(cuts: tuple[int, ...]) -> None:
    far = np.array([0.0, 1.0, -3.0, 1e6])
    a = np.random.default_rng(0).normal(size=(60, 4)) + far
    first, *others = [activity(torch.tensor(part)) for part in np.split(a, cuts)]
    seen = sum(others, first)
    assert seen.count == 60
    for name, found in every_importance(seen).items():
        np.testing.assert_allclose(found, SLOW[name](a), rtol=1e-9)


def entering(lm: LM, records: Sequence[Record], path: str) -> NDArray[np.float64]:
    """What goes into a map at every token, the model called row by row as it is."""
    seen: list[torch.Tensor] = []
    handle = lm.model.get_submodule(path).register_forward_pre_hook(lambda _m, args: seen.append(args[0][0]))
    with torch.no_grad():
        for record in records:
            lm.model(torch.tensor([lm.encoder.row(record).ids]))
    handle.remove()
    return torch.cat(seen).double().numpy()


@pytest.mark.parametrize("name", ["gpt2", "gptj", "gpt_neox", "llama", "gemma2"])
def test_activities_are_those_of_every_token_of_attention_and_mlp(name: str) -> None:
    lm = families.family(name)
    where = anatomy(lm.model)
    paths = [f"{where.blocks}.{n}.{out}" for n in range(lm.layers) for out in (where.attn_out, where.mlp_out)]
    seen = activities(lm, worlds.RECORDS, paths, 10**6)
    for path in paths:
        a = entering(lm, worlds.RECORDS, path)
        for kind, found in every_importance(seen[path]).items():
            np.testing.assert_allclose(found, SLOW[kind](a), rtol=1e-3, atol=1e-4, err_msg=f"{path} {kind}")


def test_no_more_tokens_are_looked_at_than_wanted_whatever_the_order_of_rows(llama: LM) -> None:
    path = mlp_out(llama, 0)
    some, again = (activities(llama, rows, [path], 50)[path] for rows in (worlds.RECORDS, worlds.RECORDS[::-1]))
    assert 50 <= some.count < 50 + llama.max_length
    torch.testing.assert_close(some.size, again.size)


@pytest.mark.parametrize("importance", [*IMPORTANCES])
def test_selectivepruning_silences_what_forget_rows_use_more_than_retain_rows(lm: LM, importance: Importance) -> None:
    """Two rounds the slow way; the second looks at the model that the first left."""
    paths, silent = [mlp_out(lm, n) for n in range(lm.layers)], {}
    for _ in range(2):
        with zeroed(lm.model, silent):
            gone, kept = (
                np.concatenate([SLOW[importance](entering(lm, rows, p)) for p in paths])
                for rows in (worlds.FORGET, worlds.RETAIN)
            )
        scores = torch.tensor(gone / (kept + 1e-3))
        before = torch.cat([silent[p] for p in paths]) if silent else torch.zeros(len(scores), dtype=torch.bool)
        scores[before] = -1
        before[scores.topk(int(0.04 * len(scores))).indices] = True
        silent = dict(zip(paths, before.chunk(lm.layers), strict=True))
    method = SelectivePruning(importance, mlp=0.04, rounds=2, stop_retain=0.0)
    found = marks(lm, method(lm, REQUEST))
    agreed = sum(int((found[p] & silent[p]).sum()) for p in found)
    assert sum(int(m.sum()) for m in found.values()) == sum(int(m.sum()) for m in silent.values())
    assert agreed >= sum(int(m.sum()) for m in silent.values()) - 1  # rounding may settle who is last


def test_a_share_of_0_is_the_model_itself(lm: LM) -> None:
    edit = SelectivePruning(mlp=0.0, attention=0.0)(lm, REQUEST)
    batch = lm.batch(worlds.RECORDS)
    with torch.no_grad():
        before = lm.logits(batch)
        with edit.on(lm):
            assert torch.equal(lm.logits(batch), before)
    assert edit.weights == edit.activations == {}


@pytest.mark.parametrize("importance", [*IMPORTANCES])
def test_forget_and_retain_swapped_turn_the_ranking_round(lm: LM, importance: Importance) -> None:
    path, of = mlp_out(lm, 1), IMPORTANCES[importance]
    gone, kept = (of(activities(lm, rows, [path], 10**6)[path]) for rows in (worlds.FORGET, worlds.RETAIN))
    both = (gone > 0) & (kept > 0)
    one, other = ratio(gone, kept, 0.0)[both], ratio(kept, gone, 0.0)[both]
    assert both.sum() > 10
    torch.testing.assert_close(one * other, torch.ones_like(one))
    order = one.argsort()
    assert bool((other[order].diff() <= 1e-12).all())


def test_a_neuron_that_nobody_uses_has_no_score_and_one_that_forget_rows_alone_use_the_highest() -> None:
    gone, kept = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 0.0, 1.0])
    assert ratio(gone, kept, 0.0).tolist() == [0.0, torch.inf, 2.0]


def test_a_column_of_zeros_is_an_activation_of_zero_exactly(lm: LM) -> None:
    edit = SelectivePruning(mlp=0.05, attention=0.05, rounds=2, stop_retain=0.0)(lm, REQUEST)
    silent, batch = marks(lm, edit), lm.batch(worlds.RECORDS)
    assert any(path.endswith(anatomy(lm.model).attn_out) for path in silent)
    with torch.no_grad():
        before = lm.logits(batch)
        with edit.on(lm):
            pruned = lm.logits(batch)
        with zeroed(lm.model, silent):
            assert torch.equal(lm.logits(batch), pruned)
    assert not torch.equal(before, pruned)


def test_the_share_is_of_each_kind_of_neuron(llama: LM) -> None:
    edit = SelectivePruning(mlp=0.1, attention=0.05, rounds=3, stop_retain=0.0)(llama, REQUEST)
    counts = {"mlp": 0, "self_attn": 0}
    for path, silent in marks(llama, edit).items():
        counts[path.split(".")[-2]] += int(silent.sum())
    assert counts == {"mlp": 3 * int(0.1 * 3 * 128), "self_attn": 3 * int(0.05 * 3 * 64)}


def known(lm: LM, records: Sequence[Record]) -> tuple[float, float]:
    answers = ask(lm, records)
    return float(np.mean([probability(a) for a in answers])), float(np.mean([exact_match(a) for a in answers]))


def test_it_stops_before_the_rows_to_keep_lose_more_than_they_may(lm: LM) -> None:
    edit = SelectivePruning(stop_retain=0.97)(lm, REQUEST)
    rounds = int(edit.made_by.split(", ")[-1].removesuffix(" rounds"))
    assert 1 < rounds < 50
    with edit.on(lm):
        assert known(lm, worlds.RETAIN)[1] >= 0.97 * 1.0
    with SelectivePruning(stop_retain=0.0, rounds=rounds + 1)(lm, REQUEST).on(lm):
        assert known(lm, worlds.RETAIN)[1] < 0.97


def test_which_rows_lose_more_is_which_rows_were_to_go(lm: LM) -> None:
    before = known(lm, worlds.FORGET)[0], known(lm, worlds.RETAIN)[0]
    lost = []
    for request in (REQUEST, SWAPPED):
        with SelectivePruning(rounds=12, stop_retain=0.0)(lm, request).on(lm):
            lost.append(
                [b - known(lm, rows)[0] for b, rows in zip(before, (worlds.FORGET, worlds.RETAIN), strict=True)]
            )
    assert lost[0][0] > 2 * lost[0][1]
    assert lost[1][1] > lost[1][0]


def test_what_cannot_be_is_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        SelectivePruning(mlp=1.5)
    with pytest.raises(InputError, match="from 1 on"):
        SelectivePruning(rounds=0)
    for missing in ("forget", "retain"):
        with pytest.raises(InputError, match=f"--{missing}"):
            SelectivePruning()(llama, replace(REQUEST, **{missing: ()}))
    with pytest.raises(InputError, match="choose smaller shares"):
        SelectivePruning(mlp=0.9)(llama, REQUEST)
