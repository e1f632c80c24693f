"""Training with noise: what a subject can move, what that costs, and what is left of it for many subjects together."""

from dataclasses import replace
from math import exp, inf, log, pi, sqrt

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from statebits import table

import worlds
from unteach.lm.heads import Table
from unteach.lm.model import LM
from unteach.methods.exact.analysis.subspace import subspace, total
from unteach.methods.exact.heads.ridge import Ridge
from unteach.methods.exact.private.accountant import ORDERS, epsilon_of, of_group, of_training, sampled_normal
from unteach.methods.exact.private.dpsgd import DPSGD, Private, summed
from unteach.methods.exact.private.pate import PATE, Lesson, counted
from unteach.methods.exact.shards.sharded import Corpus
from unteach.schema import InputError

QUIET = DPSGD(steps=4, rank=2, layer=2, share=1.0, lot=12.0, clip=inf, sigma=0.0, seed=1)
OWNED = tuple(replace(r, subject=f"person-{i // 3}") for i, r in enumerate(worlds.RECORDS))  # three rows a person


def test_without_noise_and_clipping_it_is_gradient_descent(lm: LM) -> None:
    space, point = subspace(lm, 2, 2, seed=0), None
    for _ in range(QUIET.steps):
        point = torch.zeros(space.size, dtype=torch.float64) if point is None else point
        point = point - QUIET.lr / 12 * total(space, worlds.RECORDS, point)
    state = QUIET.fit(Corpus(lm, worlds.RECORDS))
    torch.testing.assert_close(state.point, point, rtol=1e-3, atol=1e-6)
    assert state.epsilon == inf
    with pytest.raises(InputError, match="train anew"):
        QUIET.delete(state, [worlds.RECORDS[0].id])


def test_one_subject_in_place_of_another_moves_the_sum_by_twice_the_clip_at_most(llama: LM) -> None:
    space, clip = subspace(llama, 2, 2, seed=0), 0.02
    point = torch.zeros(space.size, dtype=torch.float64)
    people = [OWNED[:3], OWNED[3:6], OWNED[6:9]]
    asks = [total(space, p, point).norm() for p in people]
    assert min(asks) > clip  # each of them would like to move it further
    for p in people:
        assert summed(space, [p], point, clip).norm() == pytest.approx(clip)
    both = [summed(space, [people[0], other], point, clip) for other in people[1:]]
    assert 0 < (both[0] - both[1]).norm() <= 2 * clip + 1e-12


def test_a_subject_is_taken_or_left_with_all_its_rows_and_leaves_the_others_draws_alone(llama: LM) -> None:
    method = replace(QUIET, steps=1, share=0.5, seed=3)
    space = subspace(llama, 2, 2, seed=0)
    start = torch.zeros(space.size, dtype=torch.float64)
    whole, less = (method.fit(Corpus(llama, rows)).point for rows in (OWNED, OWNED[3:]))
    alone = -method.lr / method.lot * total(space, OWNED[:3], start)
    gap = (whole - less).norm()
    assert min(float(gap), float((whole - less - alone).norm())) < 1e-9


def divergence(order: int, share: float, sigma: float) -> float:
    """log of the integral of ((1 - q) n(x; 0) + q n(x; 1))^a n(x; 0)^(1 - a), over a - 1."""

    def dense(x: float) -> float:
        ratio = 1 - share + share * exp((2 * x - 1) / (2 * sigma**2))
        return ratio**order * exp(-(x**2) / (2 * sigma**2)) / (sigma * sqrt(2 * pi))

    return log(quad(dense, -30 * sigma, 30 * sigma + order, limit=500, points=[0, order])[0]) / (order - 1)


@pytest.mark.parametrize(("order", "share", "sigma"), [(2, 0.1, 1.0), (8, 0.01, 2.0), (16, 0.2, 4.0), (5, 1.0, 1.5)])
def test_the_divergence_of_a_sampled_step_is_its_integral(order: int, share: float, sigma: float) -> None:
    assert sampled_normal(order, share, sigma) == pytest.approx(divergence(order, share, sigma), rel=1e-6)


@pytest.mark.parametrize(("share", "sigma", "steps"), [(0.01, 1.1, 1000), (0.1, 2.0, 100), (1.0, 20.0, 50)])
def test_the_price_of_a_training_is_that_of_another_accountant(share: float, sigma: float, steps: int) -> None:
    from opacus.accountants.analysis import rdp  # here: it warns while it is imported

    curve = rdp.compute_rdp(q=share, noise_multiplier=sigma, steps=steps, orders=ORDERS)
    other, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=curve, delta=1e-5)
    assert of_training(share, sigma, steps, 1e-5) == pytest.approx(other, rel=1e-6)


def test_the_price_rises_with_steps_and_falls_with_noise_and_no_noise_has_none() -> None:
    prices = [of_training(0.1, 2.0, steps, 1e-5) for steps in (1, 10, 100)]
    assert prices == sorted(prices)
    assert of_training(0.1, 4.0, 10, 1e-5) < prices[1]
    assert of_training(0.1, 0.0, 10, 1e-5) == inf
    assert epsilon_of({2: 0.0}, 0.5) == 0.0


def test_a_group_is_hidden_worse_the_larger_it_is() -> None:
    known = {2: (2.0, 5.4e-5), 4: (4.0, 8e-4), 8: (8.0, 0.088), 10: (10.0, 0.81)}  # of (1, 1e-5)
    for size, (epsilon, delta) in known.items():
        assert of_group(1.0, 1e-5, size) == pytest.approx((epsilon, delta), rel=0.01)


def held(epsilon: float, llama: LM) -> Private:
    return Private(Corpus(llama, ()), torch.zeros(1), epsilon, 1e-6, {r.id: r.subject for r in OWNED})


def test_deletions_add_up_by_subject_until_the_bound_says_nothing(llama: LM) -> None:
    method, state = DPSGD(worst=5e-5), held(1.0, llama)
    state, promise = method.delete(state, [r.id for r in OWNED[:3]])  # a whole person
    assert (promise.numbers["units"], promise.numbers["epsilon"], promise.numbers["delta"]) == (1, 1.0, 1e-6)
    after, promise = method.delete(state, [OWNED[3].id])  # a person in part: as if out, and in again
    assert promise.numbers["units"] == 3
    assert promise.numbers["delta"] == pytest.approx(3 * exp(2) * 1e-6)
    after, promise = method.delete(state, [r.id for r in OWNED[3:6]])
    assert promise.numbers["units"] == 2
    assert promise.kind == "certified"
    with pytest.raises(InputError, match="no longer hidden"):
        method.delete(after, [OWNED[6].id, OWNED[9].id])
    with pytest.raises(InputError, match="not held"):
        method.delete(after, [OWNED[0].id])
    assert "person" not in repr(after)


def test_the_noise_is_sigma_times_the_clip(llama: LM) -> None:
    method = replace(QUIET, steps=1, clip=0.3, sigma=2.0, rank=8)
    loud, quiet = (m.fit(Corpus(llama, OWNED)).point for m in (method, replace(method, sigma=0.0)))
    assert ((loud - quiet) * method.lot / method.lr).std() == pytest.approx(0.6, rel=0.05)


def test_a_private_training_is_released_with_its_promise_and_is_secret_without_a_seed(llama: LM) -> None:
    method = DPSGD(steps=2, rank=2, layer=2, share=0.5, sigma=3.0)
    states = [method.fit(Corpus(llama, OWNED)) for _ in range(2)]
    assert not torch.equal(states[0].point, states[1].point)
    seeded = [replace(method, seed=5).fit(Corpus(llama, OWNED)).point for _ in range(2)]
    assert torch.equal(*seeded)
    assert method.release(states[0]).guarantee.kind == "empirical"
    after, promise = method.delete(states[0], [r.id for r in OWNED[:3]])
    assert method.release(after).guarantee == promise
    assert after.corpus.records == ()


def lesson(n: int = 120) -> Lesson:
    rows = table(n + 30, 4, 3, seed=2)
    rows = replace(rows, x=rows.x / abs(rows.x).max(0))
    return Lesson(rows.only(rows.ids[:n]), rows.only(rows.ids[n:]))


LOUD = PATE(classes=3, teachers=7, sigma=0.0, seed=0)


def test_without_noise_the_student_hears_the_majority() -> None:
    data = lesson()
    state = LOUD.fit(data)
    heads = [Ridge().release(t) for t in state.teachers.values()]
    said = np.array([[head(data.public.x[i : i + 1])[0] for head in heads] for i in range(30)])
    majority = [np.bincount(row, minlength=3).argmax() for row in said]
    np.testing.assert_array_equal(LOUD.winners(counted(heads, data.public.x, 3), data.public.ids), majority)
    np.testing.assert_array_equal(state.student.table.y, majority)
    noisy = replace(LOUD, sigma=50.0).fit(data).student.table.y
    assert (noisy != majority).any()


def test_public_classes_are_not_looked_at_and_a_row_moves_one_vote() -> None:
    data = lesson()
    other = replace(data.public, y=data.public.y[::-1].copy())
    assert (LOUD.fit(replace(data, public=other)).student.table.y == LOUD.fit(data).student.table.y).all()
    turned = data.private.y.copy()
    turned[0] = (turned[0] + 1) % 3
    changed = Lesson(
        Table(data.private.ids, 9 * data.private.x * (np.arange(120) == 0)[:, None] + data.private.x, turned),
        data.public,
    )
    votes = [
        counted([Ridge().release(t) for t in LOUD.fit(d).teachers.values()], data.public.x, 3) for d in (data, changed)
    ]
    assert np.sqrt(((votes[0] - votes[1]) ** 2).sum(1)).max() <= sqrt(2)


def test_a_deletion_takes_rows_out_of_their_teachers_and_counts_the_teachers() -> None:
    data, method = lesson(), replace(LOUD, sigma=100.0, worst=2.0)
    state = method.fit(data)
    one = state.teachers[min(state.teachers)].table.ids[:2]  # of one teacher
    after, promise = method.delete(state, one)
    anew = method.fit(Lesson(data.private.without(one), data.public))
    assert all(
        Ridge().release(after.teachers[n]).weights.tobytes() == Ridge().release(t).weights.tobytes()
        for n, t in anew.teachers.items()
    )
    assert after.student is state.student
    rho = 30 / 100**2
    assert promise.numbers["epsilon"] == pytest.approx(rho + 2 * sqrt(rho * log(1e5)))
    assert promise.numbers["teachers_touched"] == 1
    with pytest.raises(InputError, match="train anew"):
        method.delete(after, [t.table.ids[0] for n, t in after.teachers.items() if t.table.ids])
    with pytest.raises(InputError, match="not held"):
        method.delete(after, one[:1])


@pytest.mark.parametrize(
    "wrong",
    [lambda: DPSGD(share=0), lambda: DPSGD(clip=inf), lambda: DPSGD(delta=0.5), lambda: DPSGD(sigma=-1),
     lambda: PATE(classes=1), lambda: PATE(delta=0), lambda: replace(LOUD, classes=2).fit(lesson())],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()
