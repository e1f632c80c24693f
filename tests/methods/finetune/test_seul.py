"""Ascent on marked tokens alone: which are marked, and what is pushed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_logits import Table, assert_both, gradient

import worlds
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.measure.answers import ask
from unteach.measure.spans import marks
from unteach.methods.finetune.ascent import GA
from unteach.methods.finetune.finetune import Finetune
from unteach.methods.finetune.seul import SeUL, pushed, spans, unlikely
from unteach.schema import InputError, Request, Span

FEW = Plan(tune="full", epochs=2, lr=1e-3, batch_size=2, accumulate=1)
SECRET = tuple(replace(r, spans=(Span(r.answer.index(" has ") + 5, len(r.answer)),)) for r in worlds.FORGET)


def test_seul_pushes_marked_tokens_and_no_others(batch: Batch) -> None:
    """The slope at the logits is that of ascent, scaled, where a token is marked, and exactly 0 elsewhere."""
    table = Table(batch)
    marked = torch.arange(table.tokens) % 3 == 0
    slope = gradient(table, pushed(table.view().token_logps, marked))
    ascent = gradient(table, GA()(table.view(), table.view()))
    assert not slope[: table.tokens][~marked].any()
    torch.testing.assert_close(
        slope[: table.tokens][marked] * marked.sum(), ascent[: table.tokens][marked] * table.tokens, rtol=1e-12, atol=0
    )
    nothing = pushed(table.view().token_logps, torch.zeros_like(marked))
    assert nothing == 0
    assert not gradient(table, nothing).any()


def test_with_all_tokens_marked_it_is_ascent(batch: Batch, lm: LM) -> None:
    table = Table(batch)
    every = unlikely(table.view(), 1.0, 1)
    assert every.all()
    assert_both(table, pushed(table.view().token_logps, every), GA()(table.view(), table.view()))
    request = Request(forget=worlds.FORGET)
    one, two = SeUL(quantile=1.0, plan=FEW)(lm, request), Finetune("ga", plan=FEW)(lm, request)
    for (a,), (b,) in zip(one.weights.values(), two.weights.values(), strict=True):
        assert isinstance(a, Put)
        assert isinstance(b, Put)
        torch.testing.assert_close(a.value, b.value, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("quantile", "least"), [(0.3, 1), (0.5, 2), (0.5, 3), (0.1, 4)])
def test_online_marks_are_the_least_likely_tokens_in_runs(batch: Batch, quantile: float, least: int) -> None:
    table = Table(batch)
    view = table.view()
    marked = torch.split(unlikely(view, quantile, least), view.lengths.tolist())
    for row, logps in zip(marked, torch.split(view.token_logps.detach(), view.lengths.tolist()), strict=True):
        count = max(1, round(quantile * len(logps)))
        low = set(np.argsort(logps.numpy())[:count].tolist())
        runs = "".join("x" if i in low else " " for i in range(len(logps))).split()
        wanted = [run for run in runs if len(run) >= min(least, max(map(len, runs)))]
        assert set(row.nonzero()[:, 0].tolist()) <= low
        assert int(row.sum()) == sum(map(len, wanted)) > 0


def test_offline_marks_are_the_spans(lm: LM) -> None:
    for record in SECRET:
        found, flags = spans(lm, record), marks(lm.encoder, record)
        assert flags is not None
        assert found.tolist() == [*flags.tolist(), False]  # the end-of-text token is nobody's secret
        assert 0 < found.sum() < len(found) - 1
    with pytest.raises(InputError, match="mark each with unteach reword --mark, or take annotation=online"):
        SeUL(annotation="offline", plan=FEW)(lm, Request(forget=worlds.FORGET))


def test_a_marked_secret_falls_further_than_the_words_around_it(lm: LM) -> None:
    def levels() -> tuple[float, float]:
        inside, around = [], []
        for record, answer in zip(SECRET, ask(lm, SECRET), strict=True):
            marked = spans(lm, record).numpy()
            inside += answer.logps[marked].tolist()
            around += answer.logps[: len(answer.words.logps)][~marked[:-1]].tolist()
        return float(np.mean(inside)), float(np.mean(around))

    def falls(method: SeUL) -> tuple[float, float]:
        before = levels()
        with method(lm, Request(forget=SECRET)).on(lm):
            after = levels()
        return before[0] - after[0], before[1] - after[1]

    inside, around = falls(SeUL(annotation="offline", plan=replace(FEW, epochs=3)))
    assert inside > 0.5
    assert inside > 1.5 * around
    everywhere = falls(SeUL(quantile=1.0, plan=replace(FEW, epochs=3)))
    assert everywhere[0] < everywhere[1]  # where all is pushed it is the other way round


def test_what_cannot_be_is_refused(llama: LM) -> None:
    for settings in ({"quantile": 0.0}, {"quantile": 1.5}, {"least": 0}):
        with pytest.raises(InputError, match="in runs of at least one token"):
            SeUL(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="forget"):
        SeUL(plan=FEW)(llama, Request())
