"""The algebra of changes of one weight."""

from typing import Any

import pytest
import torch
from torch import Tensor

from unteach.edit.patches import Add, AddOuter, Lerp, Patch, Put, Scale, pack, scaled, split, through, unpack
from unteach.schema import InputError


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


W, X = drawn(6, 4), drawn(6, 4, seed=1)
OUTER = AddOuter(drawn(6, 2, seed=2), drawn(2, 4, seed=3), 0.5)
CHAINS: dict[str, tuple[Patch, ...]] = {
    "put": (Put(X),),
    "add": (Add(X),),
    "outer": (OUTER,),
    "scale": (Scale(drawn(4, seed=4)),),
    "all": (Put(X), Scale(torch.tensor([1.0, 0.0, 1.0, 0.0])), Add(W), OUTER, OUTER),
    "nested": (Lerp(0.3, (Lerp(-2.0, (Add(X),)), OUTER)), OUTER),
}


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a.view(torch.int32), b.view(torch.int32))  # bit for bit, -0.0 too


def test_each_patch_is_its_formula() -> None:
    assert same(Put(X)(W), X)
    assert same(Add(X)(W), W + X)
    torch.testing.assert_close(OUTER(W), W + 0.5 * OUTER.left @ OUTER.right)
    assert same(Scale(torch.zeros(6, 1))(W), W * 0)
    torch.testing.assert_close(Lerp(0.25, (Put(X),))(W), 0.75 * W + 0.25 * X)


@pytest.mark.parametrize("chain", CHAINS)
def test_the_weight_itself_is_not_changed(chain: str) -> None:
    kept = W.clone()
    through(CHAINS[chain], W)
    assert same(W, kept)


@pytest.mark.parametrize("chain", CHAINS)
def test_none_of_a_change_is_nothing_and_all_of_it_is_itself(chain: str) -> None:
    for weight in (W, torch.full_like(W, 1e30), -torch.zeros_like(W)):
        assert same(Lerp(0.0, CHAINS[chain])(weight), weight)
        assert same(Lerp(1.0, CHAINS[chain])(weight), through(CHAINS[chain], weight))
        assert same(through(scaled(CHAINS[chain], 1.0), weight), through(CHAINS[chain], weight))
    assert same(through(scaled(CHAINS[chain], 0.0), W), W)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_scaled_change_is_that_part_of_it(chain: str) -> None:
    for alpha in (-1.0, 0.3, 2.0):
        expected = W + alpha * (through(CHAINS[chain], W) - W)
        torch.testing.assert_close(through(scaled(CHAINS[chain], alpha), W), expected)


def test_low_rank_stays_low_rank() -> None:
    (term,) = scaled((OUTER,), -3.0)
    assert isinstance(term, AddOuter)
    assert term.scale == -1.5
    assert split(CHAINS["all"]) == (CHAINS["all"][:3], CHAINS["all"][3:])
    assert split(CHAINS["put"]) == (CHAINS["put"], ())
    assert split((OUTER,)) == ((), (OUTER,))
    assert split(()) == ((), ())


def test_a_change_takes_the_type_of_the_weight() -> None:
    for chain in CHAINS.values():
        assert through(chain, W.double()).dtype == torch.float64
        assert through(chain, W.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("chain", CHAINS)
def test_packed_and_unpacked_it_is_the_same(chain: str) -> None:
    tensors: dict[str, Tensor] = {}
    described = [pack(p, f"w.{i}", tensors) for i, p in enumerate(CHAINS[chain])]
    again = tuple(unpack(d, tensors) for d in described)
    assert same(through(again, W), through(CHAINS[chain], W))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"patch": "Exec", "code": "x"}, "a change of an unknown kind; read it with the version"),
    "a field too many": ({"patch": "Put", "value": {"tensor": "t"}, "by": 1.0}, "does not match its tensors; copy"),
    "a field too few": ({"patch": "AddOuter", "left": {"tensor": "t"}}, "does not match its tensors; copy"),
    "no such tensor": ({"patch": "Put", "value": {"tensor": "u"}}, "does not match its tensors; copy"),
    "no number": ({"patch": "AddOuter", "left": {"tensor": "t"}, "right": {"tensor": "t"}, "scale": "x"}, "copy"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_description_of_nothing_known_is_refused(what: str) -> None:
    described, sentence = BAD[what]
    with pytest.raises(InputError, match=sentence):
        unpack(described, {"t": torch.zeros(2, 2)})
