"""The rules that make one change of several: beside slow and obvious ways, and in any order."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from unteach.edit.merging import Delta, DropRescale, Mean, Rule, TrimElect, dropped, elected, summed, trimmed
from unteach.schema import InputError

RULES: tuple[Rule, ...] = (Mean(), TrimElect(0.3), TrimElect(1.0), DropRescale(0.5), DropRescale(0.9, seed=3))


def drawn(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[Delta]:
    """Deltas of two weights, of very different sizes, so that the order of addition would show."""
    generator = torch.Generator().manual_seed(seed)

    def one(*shape: int) -> Tensor:
        sizes = 10 ** (4 * torch.rand(shape, generator=generator))
        return (torch.randn(shape, generator=generator) * sizes).to(dtype)

    return [{"a": one(9, 7), "b": one(30)} for _ in range(count)]


def same(a: Delta, b: Delta) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def ties(deltas: list[Delta], density: float) -> dict[str, list[float]]:
    """TIES as it is told, number by number."""
    kept = []
    for delta in deltas:
        ranked = sorted((abs(x) for t in delta.values() for x in t.flatten().tolist()), reverse=True)
        least = ranked[max(1, round(density * len(ranked))) - 1]
        kept.append({n: [x if abs(x) >= least else 0.0 for x in t.flatten().tolist()] for n, t in delta.items()})
    merged: dict[str, list[float]] = {}
    for name in deltas[0]:
        merged[name] = []
        for entries in zip(*(one[name] for one in kept), strict=True):
            mass = sum(entries)
            agreeing = [x for x in entries if x * mass > 0]
            merged[name].append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return merged


@pytest.mark.parametrize("density", [0.05, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_ties_is_the_obvious_way_entry_by_entry(count: int, density: float) -> None:
    deltas = drawn(count, seed=count, dtype=torch.float64)
    found, expected = TrimElect(density)(deltas), ties(deltas, density)
    for name in expected:
        whole = torch.tensor(expected[name], dtype=torch.float64)
        torch.testing.assert_close(found[name].flatten(), whole, rtol=1e-12, atol=1e-9)


def test_ties_by_hand() -> None:
    """Four entries: all agree, two against one, one trimmed, no majority."""
    stack = torch.tensor([[1.0, 4.0, 0.0, 2.0], [2.0, -1.0, 5.0, -2.0], [3.0, 2.0, 0.0, 0.0]])
    assert elected(stack).tolist() == [2.0, 3.0, 5.0, 0.0]
    assert stack.mean(0)[1] != 3.0  # the mean would let the one that disagrees pull
    delta = {"a": torch.tensor([0.1, -5.0, 0.2]), "b": torch.tensor([[3.0, -0.3]])}
    kept = trimmed(delta, 0.4)  # two of the five, wherever they lie
    assert (kept["a"].tolist(), kept["b"].tolist()) == ([0.0, -5.0, 0.0], [[3.0, 0.0]])


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_order_of_deltas_does_not_matter_to_a_bit(rule: Rule) -> None:
    deltas = drawn(4)
    first = rule(deltas)
    assert all(same(rule(list(order)), first) for order in permutations(deltas))


def test_plain_addition_would_depend_on_the_order() -> None:
    """So the test above can fail."""
    stack = torch.stack([delta["a"] for delta in drawn(4)])
    plain = [sum(stack[list(order)]) for order in permutations(range(4))]
    assert any(not torch.equal(one, plain[0]) for one in plain)
    torch.testing.assert_close(summed(stack), stack.double().sum(0).float())


@pytest.mark.parametrize("rule", [Mean(), TrimElect(1.0), DropRescale(0.0)], ids=repr)
def test_one_delta_merged_is_itself(rule: Rule) -> None:
    (delta,) = drawn(1)
    assert same(rule([delta]), delta)
    assert same(TrimElect(0.2)([delta]), trimmed(delta, 0.2))
    assert not same(TrimElect(0.2)([delta]), delta)


def test_the_mean_is_the_mean() -> None:
    deltas = drawn(3, dtype=torch.float64)
    for name, found in Mean()(deltas).items():
        torch.testing.assert_close(found, sum(d[name] for d in deltas) / 3, rtol=1e-13, atol=0)


def test_what_a_delta_does_not_name_it_leaves() -> None:
    (first, second) = drawn(2)
    found = Mean()([{"a": first["a"]}, second])
    assert torch.equal(found["b"], second["b"] / 2)
    assert TrimElect(1.0)([{"a": first["a"]}, {"b": second["b"]}]).keys() == {"a", "b"}


def test_what_is_dropped_is_made_up_for_on_average() -> None:
    """Over 600 seeds the mean lies within 5 standard errors of the delta, entry by entry; without the division it lies far off."""
    delta = {"a": torch.linspace(-2, 3, 40).view(8, 5)}
    for drop in (0.5, 0.9):
        draws = torch.stack([dropped(delta, drop, seed)["a"] for seed in range(600)])
        error = (delta["a"].square() * drop / (1 - drop) / 600).sqrt()
        assert ((draws.mean(0) - delta["a"]).abs() <= 5 * error).all()
        assert (((1 - drop) * draws.mean(0) - delta["a"]).abs() > 5 * error).all()
        assert (draws == 0).float().mean().item() == pytest.approx(drop, abs=0.01)
        kept = draws != 0
        assert torch.equal(draws[kept], (delta["a"] / (1 - drop)).expand_as(draws)[kept])


def test_what_is_dropped_depends_on_the_seed_and_the_delta_alone() -> None:
    first, second = drawn(2)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        again = dropped(first, 0.5, 0)
    assert same(again, dropped(first, 0.5, 0))
    assert not same(again, dropped(first, 0.5, 1))
    holes = [(dropped(d, 0.5, 0)["a"] == 0) for d in (first, second)]
    assert not torch.equal(*holes)


def test_a_share_that_is_none_is_refused() -> None:
    for density in (0.0, 1.5):
        with pytest.raises(InputError, match=r"'density' .* choose it above 0 and at most 1"):
            TrimElect(density)
    for drop in (-0.1, 1.0):
        with pytest.raises(InputError, match=r"'drop' .* choose it from 0 to below 1"):
            DropRescale(drop)
