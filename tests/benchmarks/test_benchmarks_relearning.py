"""Where the see-saw looks, what it counts there, and when it is called one."""

from collections import Counter
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.relearned import Found, section, seesaw
from benchmarks.seesaw import at_their_word, likeliest, looked_at, plausible, rarest, tokens
from benchmarks.seesaw_drawn import draw, strokes

from unteach.lm.model import LM
from unteach.measure.answers import ask
from unteach.schema import Record, Report, Row, Score

ROW = Record("r", "Where does Ann Lee live?", "Ann Lee lives in the town of Zell-am-See.")


def test_the_rarest_telling_word_is_looked_at() -> None:
    often = Counter({"lives": 9, "in": 30, "the": 40, "town": 3, "of": 30, "zell": 1, "am": 1, "see": 2, "ann": 0})
    span = rarest(ROW, often)
    assert span is not None
    assert ROW.answer[span.start : span.end] == "Zell"
    assert rarest(Record("e", "Why?", "…"), often) is None


def test_the_token_is_the_first_of_that_word_and_its_likelihood_the_audits(llama: LM) -> None:
    rows = [ROW, Record("s", "What is his trade?", "He is a cooper.")]
    lessons = [*rows, Record("t", "And hers?", "She is a farmer in the town of Am See, and lives there.")]
    places = at_their_word(llama, rows, lessons)
    answers = ask(llama, rows)
    for place, answer in zip(places, answers, strict=True):
        row = llama.encoder.row(place.record)
        assert row.ids[row.start + place.number] == place.target
        logps = looked_at(llama, [place])[0]
        assert logps[place.target].item() == pytest.approx(answer.logps[place.number], abs=1e-5)
    before = llama.tokenizer.decode(llama.encoder.row(ROW).ids[: llama.encoder.row(ROW).start + places[0].number])
    assert before.rstrip().endswith("town of")
    together = looked_at(llama, places)
    assert likeliest(llama, together[:1])[0][1] == 1
    torch.testing.assert_close(together, torch.stack([looked_at(llama, [p])[0] for p in places]), atol=1e-5, rtol=0)


def test_what_is_counted_at_a_token() -> None:
    even = torch.full((1, 4), 0.25).log()
    sure = torch.tensor([[1.0, 0, 0, 0]]).clamp_min(1e-30).log()
    half = torch.tensor([[0, 0.5, 0.5, 0]]).clamp_min(1e-30).log()
    known = plausible((sure, half))
    assert known.tolist() == [[True, True, True, False]]
    (found,) = tokens(even, [0], known)
    assert found == pytest.approx({"gold": log(0.25), "entropy": log(4), "top": 0.25, "strange": 0.25})
    (found,) = tokens(sure, [0], known)
    assert found == pytest.approx({"gold": 0, "entropy": 0, "top": 1, "strange": 0}, abs=1e-9)


def world(gold: float, strange: float) -> Found:
    """One model beside a retrained one, each the same at ten tokens but for a little."""

    def rows(logp: float, share: float) -> list[dict[str, float]]:
        return [
            {"gold": logp - n / 100, "entropy": 1.0, "top": exp(-1), "strange": share + n / 1000} for n in range(10)
        ]

    looked: dict[str, Any] = {
        "tokens": {"original": rows(-0.1, 0.0), "retrained": rows(-5, 0.01), "ga": rows(gold, strange)},
        "likeliest": {name: [(" of", 7), ("|", 3)] for name in ("original", "retrained", "ga")},
        "asked": [{"question": "Who?", "answer": "Ann | Lee"}],
        "said": {"original": ["Ann"], "retrained": ["Bob"], "ga": ["x" * 999]},
    }  # fmt: skip
    scores = [Row(m, "forget", Score("kfr", 0.5, 0.25, 0.75, 4)) for m in looked["tokens"]]
    report = Report("t", {}, {"forget": {"n": 4, "role": "forget"}}, {}, tuple(scores))
    return Found(report, looked, {"ga": {"alpha": 0.5, "seconds": 3.0}})


@pytest.mark.parametrize(
    ("gold", "strange", "tips"), [(-20, 0.6, True), (-20, 0.0, False), (-1, 0.6, False), (-5, 0.01, False)]
)
def test_a_see_saw_is_less_of_the_answer_and_more_of_what_nobody_expects(
    gold: float, strange: float, tips: bool
) -> None:
    assert seesaw(world(gold, strange), "ga") is tips


def test_the_page_has_a_line_for_each_model() -> None:
    lines = list(section("A world", world(-20, 0.6)))
    assert "### A world" in lines
    assert sum(line.startswith("| ga |") for line in lines) == 3
    assert any("0.50 (0.25 to 0.75)" in line for line in lines)
    assert any(line.startswith("| recorded | Ann \\| Lee") for line in lines)
    assert max(map(len, lines)) < 400


def test_the_figure_is_drawn_with_every_model(tmp_path: Path) -> None:
    found = world(-50, 0.6).looked["tokens"]
    text = draw({"A world": found}, list(found), tmp_path).read_text(encoding="utf-8")
    assert all(f">{name}<" in text for name in found)
    xs, ys = strokes(np.array([1.0, 2.0]), 5.0)
    assert xs[[0, 1, 3, 4]].tolist() == [1, 1, 2, 2]
    assert (ys[0] < 5 < ys[1], np.isnan(xs[2]), np.isnan(ys[2])) == (True, True, True)
