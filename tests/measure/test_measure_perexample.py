"""Gradients of many rows from one backward pass: each row's is what a backward pass of its own gives."""

import pytest
import torch
from torch import nn

import worlds
from families import OWN, family
from unteach.lm.encoder import Template
from unteach.lm.model import LM
from unteach.measure import gradient
from unteach.measure.gradient import gradient_norm
from unteach.measure.perexample import Share, norm, separable
from unteach.schema import Record

SHORT = Record("s", "", "Aq")  # as many tokens as the models have heads
PADDED = Record("p", "Say <pad> nothing", "Never.")  # the padding token as a word
RECORDS = (*worlds.RECORDS[:4], Record("x", "What is Orvena?", "Nobody can say."), SHORT, PADDED)


def alone(lm: LM, records: tuple[Record, ...], p: float) -> list[float | None]:
    """One row at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient, "separable", lambda _: False)
        return gradient_norm(lm, records, p)


@pytest.mark.parametrize("name", OWN)
def test_many_rows_have_the_norms_that_each_has_alone(name: str) -> None:
    lm = family(name)
    assert separable(lm)
    assert len(lm.encoder.row(SHORT).ids) == lm.model.config.num_attention_heads
    assert lm.model.config.pad_token_id in lm.encoder.row(PADDED).ids[:-1]
    for p in (1.0, 2.0, float("inf")):
        expected = alone(lm, RECORDS, p)
        assert gradient_norm(lm, RECORDS, p) == pytest.approx(expected, rel=1e-5)
        assert gradient_norm(lm, [SHORT], p) == pytest.approx(expected[5:6], rel=1e-5)


def test_in_several_passes_and_beside_a_row_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    known = worlds.llama()
    lm = LM(known.model, known.tokenizer, template=Template(eos=False))
    expected = alone(lm, RECORDS, 2.0)
    monkeypatch.setattr(gradient, "AT_ONCE", 60)
    first, second, empty, *rest = gradient_norm(lm, (*RECORDS[:2], Record("e", "", ""), *RECORDS[2:]))
    assert empty is None
    assert [first, second, *rest] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("path", ["embed_tokens", "layers.1.input_layernorm", "layers.1.mlp.down_proj", "norm"])
def test_what_a_worn_map_changes_is_changed_for_the_gradient_too(path: str) -> None:
    lm = worlds.llama()
    plain = gradient_norm(lm, RECORDS)
    with lm.tap(f"model.{path}", lambda states, _: 1.5 * torch.tanh(states)):
        assert separable(lm)
        mapped = gradient_norm(lm, RECORDS)
        assert mapped == pytest.approx(alone(lm, RECORDS, 2.0), rel=1e-5)
    assert mapped != pytest.approx(plain, rel=1e-2)


def test_no_hook_stays_and_no_gradient() -> None:
    lm = worlds.gpt2()
    before = worlds.state(lm)
    with torch.no_grad():
        gradient_norm(lm, RECORDS)
    assert worlds.state(lm) == before


class Doubling(nn.Linear):
    """A linear map that is none of the known ones."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(states)


def test_a_module_of_another_kind_is_asked_one_row_at_a_time() -> None:
    lm = worlds.llama()
    plain = gradient_norm(lm, RECORDS)
    lm.model.model.layers[0].mlp.up_proj.__class__ = Doubling
    assert not separable(lm)
    doubled = gradient_norm(lm, RECORDS)
    assert doubled == alone(lm, RECORDS, 2.0)
    assert doubled != pytest.approx(plain, rel=1e-4)


def test_training_mode_is_asked_one_row_at_a_time() -> None:
    lm = worlds.llama()
    lm.model.train()
    assert not separable(lm)


@pytest.mark.parametrize("tokens", [2, 40])  # the 2-norm from products of tokens, and from the matrix
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_a_tied_weight_adds_what_both_of_its_uses_give(tokens: int, p: float) -> None:
    dice = torch.Generator().manual_seed(0)
    put, read, back = (torch.randn(tokens, n, generator=dice) for n in (30, 8, 8))
    ids = torch.randint(30, (tokens,), generator=dice)
    head, table = put.T @ read, torch.zeros(30, 8).index_add(0, ids, back)
    found = norm([Share(put, read, 30), Share(ids, back, 30)], p)
    assert float(found) == pytest.approx(float((head + table).flatten().norm(p)), rel=1e-5)
    assert float(found) != pytest.approx(float(head.norm(p) + table.norm(p)), rel=1e-3)
