"""Each analysis does what its formula says, against a slow way of computing the same; none claims more than it shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

import worlds
from unteach.edit.edit import Edit
from unteach.edit.plan import draw
from unteach.lm.model import LM
from unteach.measure.answers import ask, probability
from unteach.measure.fisher import moments
from unteach.methods.exact.analysis.codec import conditional, dependence, foci
from unteach.methods.exact.analysis.fisher import noise
from unteach.methods.exact.analysis.fisherscrub import FisherScrub
from unteach.methods.exact.analysis.lcodec import LCODEC, newton, watched
from unteach.methods.exact.analysis.ntkscrub import NTKScrub, retrained
from unteach.methods.exact.analysis.puma import PUMA, patch
from unteach.methods.exact.analysis.subspace import Subspace, jacobian, loss, margin, reach, subspace
from unteach.schema import InputError, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def minimum(slopes: Tensor, start: Tensor, pull: float) -> Tensor:
    """argmin over w of sum log(1 + exp(-slopes w)) + (pull / 2) |w - start|^2, by a solver of somebody else's."""

    def height(w: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(w, requires_grad=True)
        lost = -logsigmoid(slopes @ point).sum() + pull / 2 * (point - start).square().sum()
        return lost.item(), torch.autograd.grad(lost, point)[0].numpy()

    found = minimize(height, start.numpy(), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 5000})
    return torch.tensor(found.x)


@pytest.mark.parametrize("seed", range(5))
def test_ntkscrub_of_a_linear_model_is_retraining(seed: int) -> None:
    slopes, start = normal(40, 8, seed=seed), normal(8, seed=100 + seed)
    kept = torch.arange(40) % 5 != seed
    pull = 0.7
    learned = minimum(slopes, start, pull)
    anew = minimum(slopes[kept], start, pull * float(kept.double().mean()))
    assert (anew - learned).norm() > 0.05
    torch.testing.assert_close(learned + retrained(slopes, slopes @ learned, kept, pull), anew, rtol=0, atol=1e-7)
    elsewhere = learned + 0.1 * start  # no minimum: then the start that is inferred is a wrong one
    assert (elsewhere + retrained(slopes, slopes @ elsewhere, kept, pull) - anew).norm() > 1e-3


def test_puma_leaves_the_criterion_and_without_weights_is_the_influence_of_the_rows() -> None:
    slopes, kept = normal(10, 30), torch.arange(10) >= 3
    felt = slopes.square().sum(1).mean()
    hessian = slopes.T @ slopes / 10 + 0.05 * felt * torch.eye(30, dtype=torch.float64)
    influence = torch.linalg.solve(hessian, slopes[~kept].sum(0)) / 10
    torch.testing.assert_close(patch(slopes, kept, 0.05, 1e15), influence, rtol=1e-8, atol=0)
    held = patch(slopes, kept, 0.05, 1e-12)
    assert (slopes[kept] @ influence).norm() > 0.1
    assert (slopes[kept] @ held).norm() < 1e-6 * (slopes[kept] @ influence).norm()
    assert bool((slopes[~kept] @ held > 0).all())  # and the forget rows' losses rise


def exact_fisher(lm: LM, names: list[str]) -> dict[str, Tensor]:
    """From the model's own forward pass, one row at a time, in double precision."""
    found = {n: torch.zeros_like(lm.parameters()[n], dtype=torch.float64) for n in names}
    for record in worlds.RETAIN:
        row = lm.encoder.row(record)
        logits = lm.model(torch.tensor([row.ids])).logits[0]
        lost = cross_entropy(logits[row.start - 1 : -1], torch.tensor(row.ids[row.start :]))
        slopes = torch.autograd.grad(lost, [lm.parameters()[n] for n in names])
        for name, slope in zip(names, slopes, strict=True):
            found[name] += slope.double().square() / len(worlds.RETAIN)
    return found


def test_fisherscrub_draws_noise_by_the_diagonal_of_the_fisher_matrix(lm: LM) -> None:
    method = FisherScrub(layer=2, most=5.0)
    delta = method(lm, REQUEST).delta(lm)
    fisher = exact_fisher(lm, [*delta])
    middle = torch.cat([f.rsqrt().flatten() for f in fisher.values()]).median()
    ratios = []
    for name, change in delta.items():
        drawn = noise(change, draw(method.seed, "fisherscrub", name))
        clear = drawn.abs() > 0.3  # what is all but 0 is lost in rounding
        ratios.append(((change / drawn).double() / (fisher[name].rsqrt() / middle).clamp(max=5.0))[clear])
    scale = torch.cat(ratios)
    assert scale.min() > 0.95 * scale.median() > 0
    assert scale.max() < 1.05 * scale.median()


@pytest.mark.parametrize("seed", range(3))
def test_the_dependence_is_near_0_where_nothing_is_said_and_near_1_where_all_is(seed: int) -> None:
    x, z, other = np.random.default_rng(seed).uniform(0, 1, (3, 1500, 1))
    y = np.sin(9 * x[:, 0])
    assert abs(dependence(y, z)) < 0.1
    assert dependence(y, x) > 0.95
    turned = (x + z)[:, 0] % 1  # neither says anything alone, and both say all
    assert abs(dependence(turned, z)) < 0.1
    assert conditional(turned, z, x) > 0.85
    assert abs(conditional(turned, other, x)) < 0.1
    assert set(foci(turned + x[:, 0], np.hstack([other, x, z]), 2)) == {1, 2}


def test_the_dependence_is_the_sum_over_pairs_of_its_definition() -> None:
    y, z = np.random.default_rng(4).normal(size=(2, 30))
    ranks = [sum(a <= b for a in y) for b in y]
    above = [sum(a >= b for a in y) for b in y]
    near = [min((j for j in range(30) if j != i), key=lambda j, i=i: abs(z[i] - z[j])) for i in range(30)]
    top = sum(30 * min(ranks[i], ranks[near[i]]) - above[i] ** 2 for i in range(30))
    assert dependence(y, z[:, None]) == pytest.approx(top / sum(n * (30 - n) for n in above), abs=1e-12)


def test_lcodec_steps_in_the_maps_that_it_chose_and_nowhere_else(lm: LM) -> None:
    edit = LCODEC(maps=2, noise=0.0)(lm, REQUEST)
    assert 1 <= len(edit.weights) <= 2
    gone, kept = (moments(lm, rows, [*edit.weights]) for rows in (REQUEST.forget, REQUEST.retain))
    whole = newton(gone, kept, len(REQUEST.forget) / len(REQUEST.retain), 0.1)
    delta = edit.delta(lm)
    step, moved = (torch.cat([found[n].flatten().double() for n in sorted(delta)]) for found in (whole, delta))
    assert step @ moved > 0.999 * step.norm() * moved.norm() > 0
    losses, _ = watched(lm, [lm.encoder.row(r) for r in worlds.RECORDS], [next(iter(delta)).removesuffix(".weight")])
    np.testing.assert_allclose(losses, [-a.logps.mean() for a in ask(lm, worlds.RECORDS)], rtol=1e-3)


def test_coordinates_move_the_model_as_their_patch_does_and_slopes_are_those_of_the_weights(lm: LM) -> None:
    space = subspace(lm, 1, 4, seed=3)
    point = 0.01 * normal(space.size)
    batch = lm.batch(worlds.RECORDS[:3])
    moved = lm.logits(batch, space.weights(point))
    assert not torch.allclose(moved, lm.logits(batch), atol=1e-3)
    with Edit(lm.digest(), space.patches(point)).on(lm):
        torch.testing.assert_close(lm.logits(batch), moved, atol=1e-4, rtol=0)
    said, slopes = jacobian(space, worlds.RECORDS[:3], loss)
    for record, lost, slope in zip(worlds.RECORDS, said, slopes, strict=False):
        names = [*space.drawn]
        logits = lm.logits(lm.batch([record]))
        own = cross_entropy(logits, lm.batch([record]).targets)
        assert own.item() == pytest.approx(float(lost), rel=1e-4)
        whole = torch.autograd.grad(own, [lm.parameters()[n] for n in names])
        for name, wide in zip(names, whole, strict=True):
            turned = wide.T if space._in_out(name) else wide
            torch.testing.assert_close(
                space.parts(slope)[name].float(), turned @ space.drawn[name].T, atol=1e-5, rtol=1e-3
            )


def test_a_margin_is_the_log_odds_of_the_answers_tokens(llama: LM) -> None:
    space = subspace(llama, 2, 1, seed=0)
    said, _ = jacobian(space, worlds.RECORDS[:1], margin)
    logps = torch.tensor(np.array(ask(llama, worlds.RECORDS[:1])[0].logps), dtype=torch.float64)
    assert float(said) == pytest.approx(float((logps - (-logps.expm1()).log()).mean()), rel=1e-3)


@pytest.mark.parametrize("method", [NTKScrub(), PUMA(), FisherScrub(), LCODEC()], ids=lambda m: type(m).__name__)
def test_the_retain_rows_lose_no_more_than_they_may(llama: LM, method: NTKScrub | PUMA | FisherScrub | LCODEC) -> None:
    def lost() -> float:
        return -float(np.mean([np.log(probability(a)) for a in ask(llama, worlds.RETAIN)]))

    before, edit = lost(), replace(method, slack=0.1)(llama, REQUEST)
    with edit.on(llama):
        assert before + 0.05 < lost() < before + 0.12
    assert edit.guarantee.kind == "empirical"
    assert "No mathematical guarantee" in edit.guarantee.claim


def test_a_step_that_is_borne_is_taken_whole(llama: LM) -> None:
    weights = {n: p.detach() for n, p in llama.parameters().items()}
    assert reach(llama, worlds.RETAIN, lambda share: {n: w * (1 + 1e-7 * share) for n, w in weights.items()}, 0.1) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NTKScrub(decay=0), lambda: PUMA(ridge=0), lambda: FisherScrub(most=0.5), lambda: LCODEC(flipped=2),
        lambda: jacobian(Subspace(None, {"a": torch.zeros(9, 1)}, {"a": 10**7}), worlds.RECORDS, loss),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()
