"""What neurons give to a secret's tokens, against captum; and that the ones which give most are silenced."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import Tensor
from zeroed import marks, zeroed

import families
import worlds
from unteach.edit.edit import Edit
from unteach.edit.plan import draw
from unteach.lm.batch import Row, collate
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.stats import mlp_out
from unteach.measure.answers import ask
from unteach.methods.neurons.attribution import attributions
from unteach.methods.neurons.depn import DEPN, secret, share_of_largest
from unteach.methods.neurons.silence import silenced
from unteach.schema import InputError, Record, Request, Span

REQUEST = Request(forget=worlds.FORGET)
RECORD = worlds.FORGET[0]
NONE = torch.zeros(0)


def probabilities(lm: LM, row: Row, token: int, path: str, a: Tensor) -> Tensor:
    """P (M,) of a token where the activations a (M, F) stand at the place before it; the model called as it is."""

    def stand(_module: object, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        given = args[0].clone()
        given[:, token - 1] = a
        return (given,)

    handle = lm.model.get_submodule(path).register_forward_pre_hook(stand)
    try:
        logits = lm.model(torch.tensor([row.ids[:token]]).expand(len(a), -1)).logits[:, -1]
    finally:
        handle.remove()
    return logits.softmax(-1)[:, row.ids[token]]


def activation(lm: LM, row: Row, token: int, path: str) -> Tensor:
    with torch.no_grad():
        (found,) = lm.inputs(collate([row], [""], pad=lm.pad, device=lm.device), [path])
    return found[token - 1][None]


def asking(lm: LM, row: Row, token: int, layer: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    path = mlp_out(lm, layer)
    return partial(probabilities, lm, row, token, path), activation(lm, row, token, path)


def double(lm: LM) -> LM:
    return LM(deepcopy(lm.model).double(), lm.tokenizer)


def gain(lm: LM, row: Row, token: int, layer: int) -> float:
    asked, a = asking(lm, row, token, layer)
    with torch.no_grad():
        return float(asked(a) - asked(torch.zeros_like(a)))


@pytest.mark.parametrize("name", ["gpt2", "gptj", "gpt_neox", "llama"])
def test_what_neurons_give_sums_to_what_their_layer_gives(name: str) -> None:
    lm = double(families.family(name))
    row = lm.encoder.row(RECORD)
    tokens = [row.start, row.start + 3, len(row.ids) - 1]
    given = attributions(lm, row, tokens, 200)
    for layer in range(lm.layers):
        whole = [gain(lm, row, token, layer) for token in tokens]
        assert max(map(abs, whole)) > 5e-4
        assert float(given[layer].sum()) == pytest.approx(sum(whole), abs=1e-6)


def test_four_times_nearer_with_twice_the_steps_and_true_to_a_millionth_with_many(lm: LM) -> None:
    lm, row = double(lm), lm.encoder.row(RECORD)
    token = row.start
    whole = gain(lm, row, token, 0)
    off = [abs(float(attributions(lm, row, [token], steps)[0].sum()) - whole) for steps in (20, 40, 80, 2000)]
    assert abs(whole) > 0.1
    assert off[0] / off[1] == pytest.approx(4, rel=0.05)
    assert off[1] / off[2] == pytest.approx(4, rel=0.05)
    assert off[3] < 1e-6


def test_attributions_are_those_of_captum(lm: LM) -> None:
    lm, row = double(lm), lm.encoder.row(RECORD)
    tokens = secret(lm, RECORD)[1:7:2]
    given = attributions(lm, row, tokens, 20)
    for layer in range(lm.layers):
        slow = [captums(lm, row, token, layer) for token in tokens]
        torch.testing.assert_close(given[layer], torch.stack(slow).sum(0), atol=1e-7, rtol=1e-5)


def captums(lm: LM, row: Row, token: int, layer: int, steps: int = 20) -> Tensor:
    asked, a = asking(lm, row, token, layer)
    found: Tensor = IntegratedGradients(asked).attribute(a, n_steps=steps, method="riemann_middle")[0]
    return found


def test_depn_silences_the_neurons_that_most_rows_owe_their_answers_to(lm: LM) -> None:
    """The slow way, neuron by neuron: 0.2 of the largest in three rows of four, and of those the 12 of most rows."""
    counts: dict[tuple[int, int], int] = {}
    for record in worlds.FORGET:
        row = lm.encoder.row(record)
        given = {
            (layer, j): float(x)
            for layer in range(lm.layers)
            for j, x in enumerate(sum(captums(lm, row, t, layer, 6) for t in secret(lm, record)))
        }
        most = max(given.values())
        for neuron, x in given.items():
            counts[neuron] = counts.get(neuron, 0) + (x >= 0.2 * most)
    edit = DEPN(t1=0.2, t2=0.75, erase=12, steps=6)(lm, REQUEST)
    silent = {(n, int(j)) for n in range(lm.layers) for j in marks(lm, edit).get(mlp_out(lm, n), NONE).nonzero()}
    shared = {neuron for neuron, count in counts.items() if count >= 3}
    assert len(silent) == min(12, len(shared)) > 2
    assert silent <= shared
    assert min(counts[n] for n in silent) >= max((counts[n] for n in shared - silent), default=0)


def test_a_column_of_zeros_is_an_activation_of_zero_exactly(lm: LM) -> None:
    edit, batch = DEPN()(lm, REQUEST), lm.batch(worlds.RECORDS)
    with torch.no_grad():
        before = lm.logits(batch)
        with edit.on(lm):
            silent = lm.logits(batch)
        with zeroed(lm.model, marks(lm, edit)):
            assert torch.equal(lm.logits(batch), silent)
    assert not torch.equal(before, silent)


def test_they_matter_more_than_as_many_others_and_more_to_the_forget_rows(lm: LM) -> None:
    edit = DEPN(erase=50)(lm, REQUEST)
    silent = marks(lm, edit)
    others = {p: torch.tensor([draw("other", p, j) / 2**64 for j in range(len(m))]) for p, m in silent.items()}
    drawn = {p: others[p] < others[p].kthvalue(int(m.sum()) + 1).values for p, m in silent.items()}
    assert [int(m.sum()) for m in drawn.values()] == [int(m.sum()) for m in silent.values()]
    lost = losses(lm, edit, worlds.FORGET)
    assert lost > 2 * losses(lm, Edit(lm.digest(), silenced(lm, drawn)), worlds.FORGET)
    assert lost > losses(lm, edit, worlds.RETAIN) > 0


def losses(lm: LM, edit: Edit, records: Sequence[Record]) -> float:
    """By how much the mean loss rises under an edit."""
    before = ask(lm, records)
    with edit.on(lm):
        return float(np.mean([b.logps.mean() - a.logps.mean() for b, a in zip(before, ask(lm, records), strict=True)]))


def test_the_marked_part_is_the_secret(llama: LM) -> None:
    begin = RECORD.answer.index("green")
    marked = replace(RECORD, spans=(Span(begin, begin + len("green")),))
    ids = llama.encoder.row(RECORD).ids
    assert llama.tokenizer.decode([ids[n] for n in secret(llama, marked)]).strip() == "green"
    assert llama.tokenizer.decode([ids[n] for n in secret(llama, RECORD)]).strip() == RECORD.answer
    whole, part = (DEPN()(llama, Request(forget=[r])) for r in (RECORD, marked))
    assert whole.digest() != part.digest()


def test_what_cannot_be_is_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="'t1' and 't2'"):
        DEPN(t1=0.0)
    with pytest.raises(InputError, match="--forget"):
        DEPN()(llama, Request(retain=worlds.RETAIN))
    with pytest.raises(InputError, match="lower 't2'"):
        DEPN(t1=1.0, t2=1.0, steps=2)(llama, REQUEST)
    for name in ("gemma2", "olmo2"):
        with pytest.raises(InputError, match="in front of a norm"):
            DEPN()(families.family(name), REQUEST)


def test_neurons_under_an_adapter_are_refused(tmp_path: Path) -> None:
    base = worlds.saved(worlds.gpt2(), tmp_path / "base")
    worn = load(worlds.adapter(base, tmp_path / "adapter"))
    assert DEPN(steps=2)(worn, Request(forget=[RECORD])).weights  # the adapter lies over the attention alone
    over = {"transformer.h.0.attn.c_attn": torch.ones(64, dtype=torch.bool)}
    with pytest.raises(InputError, match="merge the adapter"):
        silenced(worn, over)


def test_shares_of_the_largest_by_hand() -> None:
    assert share_of_largest(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0, 0.25, 1]
    assert share_of_largest(torch.tensor([-1.0, 0.0])).tolist() == [0, 0]
