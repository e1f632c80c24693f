"""A training that is gone over from its record, and noise that hides where a training began."""

from dataclasses import replace
from math import erf, exp, log, sqrt

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.edit.patches import Scale
from unteach.lm.model import LM
from unteach.methods.exact.analysis.deltagrad import DeltaGrad, curved, replayed
from unteach.methods.exact.analysis.noisyfinetune import NoisyFinetune, allowed, clipped
from unteach.methods.exact.analysis.subspace import subspace, total
from unteach.schema import InputError, Request

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_deltagrad_with_every_gradient_computed_is_retraining(lm: LM) -> None:
    method = DeltaGrad(every=1, steps=6, rank=2)
    space = subspace(lm, 2, 2, seed=0)
    record = method.descended(space, worlds.RECORDS)
    found, computed = replayed(
        record, 4, 8, method,
        lambda w: total(space, worlds.FORGET, w), lambda w: total(space, worlds.RETAIN, w),
    )  # fmt: skip
    anew = method.descended(space, worlds.RETAIN)
    assert computed == 6
    assert all(torch.equal(a, b) for a, b in zip(found, anew, strict=True))
    assert not torch.equal(found[0], record[0])


def test_deltagrad_comes_nearer_with_few_gradients_than_doing_nothing(lm: LM) -> None:
    numbers = DeltaGrad()(lm, REQUEST).guarantee.numbers
    assert numbers["computed"] < DeltaGrad().steps
    assert numbers["distance"] < 0.05 * numbers["distance_before"]


def test_on_a_bowl_corrected_steps_come_near_those_of_retraining() -> None:
    x, y = normal(60, 5), normal(60, seed=1)
    method = DeltaGrad(steps=80, lr=0.2, burn_in=4, every=8, memory=5)

    def slope(rows: slice) -> object:
        return lambda w: x[rows].T @ (x[rows] @ w - y[rows])

    def descended(rows: slice) -> tuple[Tensor, Tensor]:
        points, slopes = [torch.zeros(5, dtype=torch.float64)], []
        for _ in range(method.steps):
            slopes.append(slope(rows)(points[-1]) / len(y[rows]))
            points.append(points[-1] - method.lr * slopes[-1])
        return torch.stack(points), torch.stack(slopes)

    record, anew = descended(slice(0, 60)), descended(slice(3, 60))[0][-1]
    (path, _), computed = replayed(record, 3, 57, method, slope(slice(0, 3)), slope(slice(3, 60)))
    away = [float((point - anew).norm()) for point in (path[-1], record[0][-1])]
    assert computed < 20
    assert away[0] < 0.02 * away[1]


def test_the_curvature_is_that_of_bfgs_pair_after_pair() -> None:
    hessian = normal(6, 6)
    hessian = hessian @ hessian.T + torch.eye(6, dtype=torch.float64)
    pairs = [(s, hessian @ s) for s in normal(3, 6, seed=1)]
    s, y = pairs[-1]
    dense = float(y @ y / (s @ y)) * torch.eye(6, dtype=torch.float64)
    for s, y in pairs:
        dense = dense - torch.outer(dense @ s, dense @ s) / (s @ dense @ s) + torch.outer(y, y) / (y @ s)
    v = normal(6, seed=2)
    torch.testing.assert_close(curved(pairs, v), dense @ v, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(curved(pairs, s), y, rtol=1e-9, atol=1e-9)
    assert not curved([], v).any()


SETTINGS = [NoisyFinetune(), NoisyFinetune(epsilon=1.0, bound=0.5, lr=0.03), NoisyFinetune(epsilon=20, delta=1e-3)]


@pytest.mark.parametrize("method", SETTINGS, ids=lambda m: f"{m.epsilon:g}")
def test_the_noise_meets_its_budget_by_an_accountant_that_goes_step_by_step(method: NoisyFinetune) -> None:
    """Shifts come in with each step and are paid off with its noise; the least epsilon over all orders is the one set."""
    apart, rho = 2 * method.bound, 0.0
    paid = 2 * (method.bound + method.clip * method.lr * method.steps) / method.steps
    for _ in range(method.steps):
        apart += 2 * method.clip * method.lr - paid
        rho += paid**2 / (2 * method.scale**2)
        assert apart >= -1e-12
    assert apart == pytest.approx(0, abs=1e-12)
    best = minimize_scalar(
        lambda order: rho * order + log(1 / method.delta) / (order - 1), bounds=(1.0001, 1000), method="bounded"
    )
    assert best.fun == pytest.approx(method.epsilon, rel=1e-5)
    assert rho == pytest.approx(allowed(method.epsilon, method.delta), rel=1e-9)


@pytest.mark.parametrize("method", SETTINGS, ids=lambda m: f"{m.epsilon:g}")
def test_the_two_trainings_that_lie_furthest_apart_are_within_epsilon_and_delta(method: NoisyFinetune) -> None:
    """They drift apart at every step, and end as two normal distributions, whose delta is known in closed form."""
    apart = 2 * (method.bound + method.clip * method.lr * method.steps) / (method.scale * sqrt(method.steps))

    def below(z: float) -> float:
        return (1 + erf(z / sqrt(2))) / 2

    def delta(epsilon: float) -> float:
        return below(apart / 2 - epsilon / apart) - exp(epsilon) * below(-apart / 2 - epsilon / apart)

    assert delta(method.epsilon) <= method.delta
    assert delta(method.epsilon / 3) > method.delta  # and the noise is not far more than it needs to be


def test_all_is_made_shorter_as_one_vector() -> None:
    parts = {"a": torch.full((3,), 3.0), "b": torch.full((1,), -3.0)}
    assert torch.cat([*clipped(parts, 1.5).values()]).norm().item() == pytest.approx(1.5)
    assert torch.equal(clipped(parts, 7.0)["a"], parts["a"])


BRIEF = replace(NoisyFinetune(), trained="2", plan=replace(NoisyFinetune().plan, epochs=1))


def test_a_bound_is_claimed_where_nobody_can_draw_the_noise_again(llama: LM) -> None:
    method = replace(BRIEF, secret=True)
    first, second = (method(llama, REQUEST) for _ in range(2))
    assert first.digest() != second.digest()
    assert first.guarantee.kind == "certified"
    assert "experimental" in first.guarantee.claim
    assert (first.guarantee.numbers["epsilon"], first.guarantee.numbers["scale"]) == (8.0, method.scale)
    assert BRIEF(llama, REQUEST).guarantee.kind == "empirical"


def test_a_model_that_wears_something_is_refused(llama: LM) -> None:
    worn = Edit(llama.digest(), {"model.norm.weight": (Scale(torch.ones(1)),)})
    with worn.on(llama), pytest.raises(InputError, match="bake it in"):
        BRIEF(llama, REQUEST)


def test_the_forget_rows_are_not_looked_at(llama: LM) -> None:
    other = tuple(replace(r, answer="Something else.") for r in worlds.FORGET)
    assert BRIEF(llama, REQUEST).digest() == BRIEF(llama, replace(REQUEST, forget=other)).digest()


def test_next_to_nothing_is_left_of_the_weights_that_the_rows_went_into(llama: LM) -> None:
    edit = replace(BRIEF, plan=replace(BRIEF.plan, lr=1e-9))(llama, REQUEST)
    noised = {n: p(llama.parameters()[n]) for n, (p,) in edit.weights.items() if ".2." in n and "proj" in n}
    assert len(noised) == 7
    for name, weight in noised.items():
        old = llama.parameters()[name].detach()
        assert abs(np.corrcoef(old.flatten(), weight.detach().flatten())[0, 1]) < 0.1
        assert weight.std() == pytest.approx(BRIEF.scale * sqrt(BRIEF.steps), rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [lambda: NoisyFinetune(epsilon=0), lambda: NoisyFinetune(bound=0), lambda: NoisyFinetune(trained="lora"),
     lambda: DeltaGrad(every=0), lambda: DeltaGrad(lr=0)],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()
