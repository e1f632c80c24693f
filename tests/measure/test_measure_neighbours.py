"""Neighbours of a row: near it, never itself, the same whatever stands beside; and their losses, one by one."""

from statistics import fmean

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import worlds
from unteach.lm.encoder import Template
from unteach.lm.model import LM
from unteach.measure import neighbours
from unteach.measure.neighbours import neighbour_gap
from unteach.schema import Record

UNSEEN = tuple(
    Record(f"new-{i}", r.prompt, f"{a} {b}")
    for i, (r, a, b) in enumerate(
        zip(worlds.RECORDS[:3], ("paper", "a hill", "old songs"), ("on a roof", "of cats", "at noon"), strict=True)
    )
)


def drawing(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


@pytest.mark.parametrize("ids", [(5,), (5, 6), (7, 7), tuple(range(2, 32)), (3,) * 20])
def test_a_neighbour_differs_in_few_places_and_always_in_some(ids: tuple[int, ...]) -> None:
    chances = np.array([0.0, 0.0, *[1.0] * 40]) / 40
    many = max(1, round(0.15 * len(ids)))
    found = neighbours.neighbours(ids, chances, 60, drawing())
    assert len(found) == 60
    assert ids not in found
    for way, text in enumerate(found):
        assert text
        assert min(text) >= 2  # what has no chance is never drawn
        if len(text) == len(ids):
            changed = sum(a != b for a, b in zip(ids, text, strict=True))
            assert 1 <= changed <= (2 * many if way % 3 == 1 else many)
        else:
            assert (way % 3, len(text)) == (0, len(ids) - many)
            left = iter(ids)
            assert all(token in left for token in text)  # in their order


def test_what_is_drawn_anew_is_drawn_as_the_model_expects_it() -> None:
    chances = np.array([0.1, 0.6, 0.3, 0.0])
    draws = [text[0] for text in neighbours.neighbours((1,), chances, 4000, drawing())]
    assert np.bincount(draws, minlength=4) / 4000 == pytest.approx([0.25, 0, 0.75, 0], abs=0.03)


def slowly(lm: LM, record: Record, n: int, seed: int) -> float:
    """The same neighbours, one forward pass of the plain model each."""
    row = lm.encoder.row(record)
    last = len(row.ids) - len(lm.encoder.closing)
    draw = drawing(neighbours._stream(seed, record.id))
    texts = neighbours.neighbours(row.ids[row.start : last], neighbours._unigrams(lm), n, draw)

    def loss(text: tuple[int, ...]) -> float:
        ids = torch.tensor([*row.ids[: row.start], *text, *row.ids[last:]])
        with torch.no_grad():
            logits = lm.model(ids[None]).logits[0]
        return float(cross_entropy(logits[row.start - 1 : -1], ids[row.start :]))

    return loss(row.ids[row.start : last]) - fmean(map(loss, texts))


def test_each_gap_is_that_of_passes_of_their_own(lm: LM) -> None:
    records = (*worlds.RECORDS[:2], *UNSEEN[:2])
    with torch.no_grad():
        expected = [slowly(lm, r, 7, 3) for r in records]
    assert neighbour_gap(lm, records, 7, 3) == pytest.approx(expected, abs=1e-4)


def test_the_gap_of_a_row_depends_on_seed_and_id_alone(llama: LM) -> None:
    before = worlds.state(llama)
    whole = neighbour_gap(llama, worlds.RECORDS[:4], 6)
    assert neighbour_gap(llama, worlds.RECORDS[3:4], 6) == pytest.approx(whole[3:], abs=1e-5)
    assert neighbour_gap(llama, worlds.RECORDS[:4][::-1], 6) == pytest.approx(whole[::-1], abs=1e-5)
    assert neighbour_gap(llama, worlds.RECORDS[:4], 6, 1) != pytest.approx(whole, abs=1e-3)
    again = Record("other", worlds.RECORDS[0].prompt, worlds.RECORDS[0].answer)
    assert neighbour_gap(llama, [again], 6) != pytest.approx(whole[:1], abs=1e-3)
    assert worlds.state(llama) == before


def test_learned_rows_stand_out_among_their_neighbours(lm: LM) -> None:
    assert max(neighbour_gap(lm, worlds.RECORDS[:3], 12)) < min(neighbour_gap(lm, UNSEEN, 12))


def test_a_row_without_an_answer_has_none(llama: LM) -> None:
    bare = LM(llama.model, llama.tokenizer, template=Template(eos=False))
    assert neighbour_gap(bare, [Record("e", "", "")], 3) == [None]
