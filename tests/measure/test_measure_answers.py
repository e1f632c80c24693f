"""What a model says about given answers: against one row at a time, and against golden numbers."""

import json
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch

import worlds
from unteach.lm.encoder import Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.measure import answers
from unteach.measure.answers import Answer, ask, batched, exact_match, extraction_strength, loss, min_k, probability
from unteach.schema import Record

INST = "[INST] {prompt} [/INST]{answer}"


def made(logps: list[float], hit: str, ended: bool = False) -> Answer:
    n = len(logps)
    return Answer(np.array(logps), np.array([h == "x" for h in hit]), np.zeros(n), np.ones(n), ended)


@torch.no_grad()
def test_every_column_against_one_row_at_a_time(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [*worlds.RECORDS, Record("x", "What is Orvena?", "No idea."), Record("y", "", "A text alone.")]
    for at_once, seen in ((answers.ON_CPU, answers.SEEN_ON_CPU), (50, 2000)):  # in one part, and in many
        monkeypatch.setattr(answers, "ON_CPU", at_once)
        monkeypatch.setattr(answers, "SEEN_ON_CPU", seen)
        for record, found in zip(records, ask(lm, records, spread=True), strict=True):
            row = lm.encoder.row(record)
            logp = lm.model(torch.tensor([row.ids])).logits[0, row.start - 1 : -1].double().log_softmax(-1)
            targets = torch.tensor(row.ids[row.start :])
            p = logp.exp()
            mean = (p * logp).sum(-1)
            expected = {
                "logps": logp.gather(1, targets[:, None])[:, 0],
                "hit": logp.argmax(-1) == targets,
                "mean": mean,
                "variance": (p * (logp - mean[:, None]).square()).sum(-1),
            }
            for name, column in expected.items():
                np.testing.assert_allclose(getattr(found, name), column.numpy(), rtol=1e-4, atol=2e-5)
            assert found.logps.dtype == np.float64
            assert found.ended
            assert len(found.words.logps) == len(found.logps) - 1
            assert found.words.words is found.words or not found.words.ended


def test_mean_and_variance_are_had_only_where_they_are_asked_for(llama: LM) -> None:
    bare, whole = (ask(llama, worlds.RECORDS, spread=spread) for spread in (False, True))
    for one, other in zip(bare, whole, strict=True):
        np.testing.assert_array_equal(one.logps, other.logps)
        np.testing.assert_array_equal(one.hit, other.hit)
        assert np.isnan([one.mean, one.variance]).all()
        assert np.isfinite([other.mean, other.variance]).all()


def test_answers_to_one_question_are_asked_together_and_the_question_once(llama: LM) -> None:
    records = [replace(r, id=f"{r.id}/{n}", answer=a) for r in worlds.RECORDS for n, a in enumerate((r.answer, "No."))]
    computed, places = 0, 0
    for part, batch in batched(llama, records):
        computed, places = computed + len(batch.places), places + int(batch.real.sum())
        for k in part:
            assert (k ^ 1) in part
    questions = sum(llama.encoder.row(r).start for r in records[::2])
    assert computed <= places - questions


def test_parts_are_never_too_large_and_hold_every_row(llama: LM) -> None:
    rows = [llama.encoder.row(r) for r in worlds.RECORDS]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids) // 3)  # not quite in order
    parts = answers._parts(order, rows, 60)
    assert [i for part in parts for i in part] == order
    assert all(len(part) == 1 or max(len(rows[i].ids) for i in part) * len(part) <= 60 for part in parts)


def test_the_end_counts_only_where_it_is(llama: LM) -> None:
    whole = Record("a", "What is Orvena known for?", "Orvena.")
    beheaded = replace(whole, prompt="What is it? " * 40)  # the question loses its beginning, the answer nothing
    endless = replace(whole, answer="Orvena has a harbour. " * 40)
    assert llama.encoder.row(beheaded).cut
    assert llama.encoder.row(endless).cut
    assert [a.ended for a in ask(llama, [whole, beheaded, endless])] == [True, True, False]
    bare = LM(llama.model, llama.tokenizer, template=Template(eos=False))
    assert [a.ended for a in ask(bare, [whole, beheaded, endless])] == [False] * 3


def test_the_measures_are_their_formulas() -> None:
    answer = made([log(0.5), log(0.25), log(1.0), log(0.125)], "xx-x")
    assert probability(answer) == pytest.approx((0.5 * 0.25 * 1.0 * 0.125) ** 0.25)
    assert loss(answer) == pytest.approx(-log(0.5 * 0.25 * 0.125) / 4)
    assert probability(answer) == pytest.approx(exp(-loss(answer)))  # type: ignore[operator]
    assert exact_match(answer) == 0.75
    assert min_k(answer, 0.5) == pytest.approx((log(0.125) + log(0.25)) / 2)
    assert min_k(answer, 0.01) == pytest.approx(log(0.125))
    assert min_k(answer, 1.0) == pytest.approx(answer.logps.mean())
    nothing = made([], "")
    assert [m(nothing) for m in (probability, loss, exact_match, extraction_strength, min_k)] == [None] * 5


@pytest.mark.parametrize(
    ("hit", "strength"),
    [("xxxx", 1.0), ("----", 0.0), ("xxx-", 0.0), ("-xxx", 0.75), ("x-xx", 0.5), ("-", 0.0), ("x", 1.0)],
)
def test_extraction_strength_by_going_through_the_prefixes(hit: str, strength: float) -> None:
    answer = made([-1.0] * len(hit), hit)
    n = len(hit)
    fewest = next(k for k in range(n + 1) if set(hit[k:]) <= {"x"})
    assert extraction_strength(answer) == strength == 1 - fewest / n


def test_the_golden_losses_and_memorisation(shared: Path) -> None:
    golden = json.loads((shared / "golden/open_unlearning/losses_sigma0.05.json").read_text())["components"]
    texts = json.loads((shared / "golden/open_unlearning/batch.json").read_text())["texts"]
    lm = load(shared / "golden/tiny_tofu_llama", template=Template(INST))
    for side in ("forget", "retain"):
        found = ask(lm, [Record(str(i), t["question"], t["answer"]) for i, t in enumerate(texts[side])])
        theirs = np.array(golden[side]["reference_sum_nll_per_row"]) / golden[side]["label_tokens_per_row"]
        np.testing.assert_allclose([loss(a) for a in found], theirs, rtol=1e-4, atol=5e-6)
        assert [len(a.logps) for a in found] == golden[side]["label_tokens_per_row"]
        assert min(exact_match(a) or 0 for a in found) == 1.0
        assert min(extraction_strength(a) or 0 for a in found) == 1.0
