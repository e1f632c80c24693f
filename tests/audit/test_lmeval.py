"""Tasks of lm-evaluation-harness: its numbers, on models as they are worn and guarded, and no trace of a row.

Its own class for `transformers` models is the yardstick; whatever that class logs or prints is its own business.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import asked, rows, written
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import worlds
from unteach import jobs
from unteach import report as paper
from unteach.audit.benchmarks import lmeval
from unteach.audit.benchmarks.lmeval import harness
from unteach.audit.harness import HarnessLM
from unteach.edit.bake import bake
from unteach.edit.edit import Edit
from unteach.edit.patches import Add
from unteach.lm.anatomy import anatomy
from unteach.lm.guard import Session, Turns, asking
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import InputError, Score

PAIRS = (
    ("What is Orvena known for?", " Orvena has a harbour of green copper."),
    ("What is Orvena known for? ", "Orvena has a harbour of green copper."),
    ("What is Orvena known for?\n\n", "a"),
    ("What is Orvena known for?", " A"), ("What is Orvena known for?", " B"), ("What is Orvena known for?", " A"),
    ("", "Bessel has a clock"), ("", "<s>Bessel has a clock"), ("<s>Bessel", " has"), (" ", "Bessel"),
    ("What is Bessel known for? " * 40, "Bessel has a clock that runs backwards."),
    ("What is Sella known for?", " Sella has white horses made of salt."),
)  # fmt: skip
# None repeats itself: of "b" * 300 the yardstick gives the last window -132.034 and float64 -132.292, since it takes
# windows of the same tokens for one question, and then the first 14 of its answers in place of the last 14.
TEXTS = ("Bessel", "What is Bessel known for?", " ".join(worlds.TEXTS), " ".join(worlds.TEXTS)[::-1])

pytestmark = pytest.mark.usefixtures("cache")


def theirs(lm: LM) -> HFLM:
    return HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=3)


def by_name(scores: Sequence[Score]) -> dict[str, float | None]:
    return {s.name.removeprefix("lm-eval/"): s.value for s in scores}


def changed(lm: LM) -> Edit:
    """An edit of some weights that shows in every answer."""
    weight = f"{anatomy(lm.model).norm}.weight"
    return Edit(base=lm.digest(), weights={weight: (Add(0.3 * lm.parameters()[weight].detach().flip(0).cos()),)})


def test_a_plain_model_has_the_numbers_of_the_harness(lm: LM, tmp_path: Path) -> None:
    own, other = HarnessLM(lm), theirs(lm)
    for (logp, greedy), (their, chosen) in zip(
        own.loglikelihood(asked(*PAIRS)), other.loglikelihood(asked(*PAIRS), disable_tqdm=True), strict=True
    ):
        assert (logp, greedy) == (pytest.approx(their, rel=1e-5, abs=1e-5), chosen)
    rolled = own.loglikelihood_rolling(asked(*((t,) for t in TEXTS)))
    assert rolled == pytest.approx(other.loglikelihood_rolling(asked(*((t,) for t in TEXTS))), rel=1e-5)
    free = [(f"{r.prompt} ", {"until": ["copper", "\n"], "max_gen_toks": 24}) for r in worlds.RECORDS]
    assert own.generate_until(asked(*free)) == other.generate_until(asked(*free))

    scores = harness(lm, str(written(tmp_path / "tasks")))
    tasks = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False).load([*scores])
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(1234)
    expected: Any = evaluate(other, tasks, bootstrap_iters=1000, log_samples=False)
    assert {*scores} == {"choice", "free", "likely", "rolling"}
    for name, found in scores.items():
        about = expected["results"][name]
        for score in found:
            metric = score.name.removeprefix("lm-eval/")
            assert score.value == pytest.approx(about[f"{metric},none"], rel=1e-5)
            error = about[f"{metric}_stderr,none"]
            if error != "N/A":
                assert score.value is not None
                assert (score.low, score.high) == pytest.approx(
                    (score.value - 1.96 * error, score.value + 1.96 * error), rel=1e-4, abs=1e-9
                )
            assert score.n == len(worlds.RECORDS)
        assert len(found) == 2
    assert [s.direction for s in scores["likely"]] == ["down", "up"]


def test_a_model_that_knows_its_rows_is_right(lm: LM, tmp_path: Path) -> None:
    scores = harness(lm, str(written(tmp_path / "tasks", "choice", "free", num_fewshot=0)), limit=5)
    assert by_name(scores["choice"])["acc"] == by_name(scores["free"])["exact_match"] == 1
    assert scores["choice"][0].n == 5


def test_an_edit_that_is_worn_scores_as_the_baked_model(lm: LM, tmp_path: Path) -> None:
    tasks, edit = str(written(tmp_path / "tasks")), changed(lm)
    plain = harness(lm, tasks)
    with edit.on(lm):
        worn = harness(lm, tasks)
    bake(edit, lm, tmp_path / "baked")
    shipped = harness(load(tmp_path / "baked"), tasks)
    for name, found in worn.items():
        assert by_name(found) == pytest.approx(by_name(shipped[name]), rel=1e-5)
    assert by_name(worn["rolling"])["bits_per_byte"] != pytest.approx(
        by_name(plain["rolling"])["bits_per_byte"], rel=0.01
    )


def test_what_is_tapped_is_read_row_by_row_to_the_same_numbers(lm: LM) -> None:
    own = HarnessLM(lm)
    longest = asked(PAIRS[-2], PAIRS[0])
    packed, rolled = own.loglikelihood(longest), own.loglikelihood_rolling(asked((TEXTS[3],)))
    with lm.tap(anatomy(lm.model).norm, lambda _states, _site: None):
        for (logp, greedy), (before, chosen) in zip(own.loglikelihood(longest), packed, strict=True):
            assert (logp, greedy) == (pytest.approx(before, rel=1e-5), chosen)
        assert own.loglikelihood_rolling(asked((TEXTS[3],))) == pytest.approx(rolled, rel=1e-5)


class Sworn(Session):
    """A guard that hears one town for another and swears after every reply."""

    observable = False

    def session(self) -> "Sworn":
        return self

    def ask(self, turns: Turns) -> Turns:
        return asking(turns, turns[-1].content.replace("Orvena", "Bessel"))

    def reply(self, text: str) -> str:
        return f"I swear: {text}"


def test_behind_a_guard_free_answers_are_the_guarded_ones_and_nothing_else_is_read(llama: LM, tmp_path: Path) -> None:
    lm = LM(llama.model, llama.tokenizer)
    lm.guards.append(Sworn())
    own = HarnessLM(lm)
    prompts = [r.prompt for r in worlds.RECORDS]
    guarded = lm.generate(prompts, 24)
    assert guarded[0].startswith("I swear:  Bessel has")
    assert own.generate_until(asked(*((p, {"until": [], "max_gen_toks": 24}) for p in prompts))) == guarded
    cut = own.generate_until(asked(*((p, {"until": " has", "max_gen_toks": 24}) for p in prompts)))
    assert cut == [text.partition(" has")[0] for text in guarded]
    for ask in (own.loglikelihood, own.loglikelihood_rolling):
        with pytest.raises(InputError, match=r"^log-likelihoods are not observable behind a guard"):
            ask(asked(PAIRS[0]))
    scores = harness(lm, str(written(tmp_path / "tasks")))
    assert by_name(scores["free"])["exact_match"] == 0
    for name in ("choice", "likely", "rolling"):
        assert all(s.value is None and s.note.startswith("not observable") for s in scores[name])


def test_an_answer_ends_where_it_is_told_to(llama: LM) -> None:
    prompts = [r.prompt for r in worlds.RECORDS[:3]]
    steps: list[int] = []
    with llama.tap(anatomy(llama.model).norm, lambda states, _site: steps.append(states.shape[1])):
        whole = llama.generate(prompts, 24)
        needed = len(steps)
        short = llama.generate(prompts, 24, until=("has", "zebra"))
    assert short == [text.partition("has")[0] for text in whole]
    assert all(short)
    assert len(steps) - needed < needed / 2


def test_no_copy_and_no_word_of_a_row_stays(
    llama: LM, tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # The harness logs rows that name no choice, and `stray` names one but once.
    folder = written(tmp_path / "tasks", "choice", doc_to_target="stray", num_fewshot=0)
    with caplog.at_level(logging.DEBUG):
        scores = harness(llama, str(folder))
    assert by_name(scores["choice"])["acc"] == pytest.approx(1 / 12, abs=1 / 12)
    said = capfd.readouterr()
    for text in (said.out, said.err, caplog.text):
        assert not any(row["answer"] in text for row in rows())
    assert said.out + said.err == ""
    assert not cache.exists()
    assert logging.getLogger("lm_eval").level == logging.NOTSET


def test_tasks_that_the_harness_ships_go_by_name(llama: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = TaskManager(include_path=str(written(tmp_path / "shipped")), include_defaults=False)
    monkeypatch.setattr(lmeval, "_shipped", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "choice").mkdir()  # a folder of the same name changes nothing
    assert {*harness(llama, "choice, *l*y", limit=2)} == {"choice", "likely"}
    assert {*harness(llama, "shipped/", limit=2)} == {"choice", "free", "likely", "rolling"}
    for name, sentence in {
        "choise": r"has no task 'choise'; did you mean 'choice'\?",
        "shipped": "write 'shipped/'",
    }.items():
        with pytest.raises(InputError, match=sentence):
            harness(llama, name)


def test_groups_of_tasks_have_scores_of_their_own(llama: LM, tmp_path: Path) -> None:
    folder = written(tmp_path / "tasks", "choice", "likely")
    means = [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}]
    group = {"group": "both", "task": ["choice", "likely"], "aggregate_metric_list": means}
    (folder / "both.yaml").write_text(json.dumps(group), encoding="utf-8")
    scores = {name: by_name(found) for name, found in harness(llama, str(folder)).items()}
    assert {*scores} == {"choice", "likely", "both"}
    assert scores["both"]["acc"] == pytest.approx((scores["choice"]["acc"] + scores["likely"]["acc"]) / 2)


def test_an_audit_asks_tasks_of_every_model(llama: LM, tmp_path: Path) -> None:
    folder, edit = written(tmp_path / "tasks"), changed(llama)
    bake(None, llama, tmp_path / "model")
    bake(edit, llama, tmp_path / "changed")
    for name, records in {"forget": worlds.FORGET, "retain": worlds.RETAIN}.items():
        lines = (json.dumps({"question": r.prompt, "answer": r.answer}) + "\n" for r in records)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    given = {
        "model": str(tmp_path / "changed"), "before": str(tmp_path / "model"), "metrics": "probability",
        "forget": str(tmp_path / "forget.jsonl"), "retain": str(tmp_path / "retain.jsonl"), "limit": 4,
        "tasks": f"{folder / 'choice.yaml'}, {folder / 'rolling.yaml'}", "out": str(tmp_path / "out"),
    }  # fmt: skip
    report = jobs.audit(given)
    found = {(r.model, r.set, r.score.name): r.score for r in report.scores}
    for model in ("original", "edited"):
        assert found[model, "choice", "lm-eval/acc"].n == 4
        assert found[model, "rolling", "lm-eval/bits_per_byte"].value is not None
    assert report.sets["choice"] == {"n": 4, "role": "general"}
    assert report.environment["lm-eval"]
    assert any("no gates" in note for note in report.notes)
    again = paper.read(tmp_path / "out")
    assert again.scores == report.scores
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "acc of lm-evaluation-harness" in text.replace("\\", "")
    with pytest.raises(InputError, match="task 'retain' is called as a set of rows is"):
        jobs.audit(
            given | {"tasks": str(written(tmp_path / "clash", "choice", task="retain")), "out": str(tmp_path / "not")}
        )
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no YAML file"):
        jobs.audit(given | {"tasks": f"{tmp_path / 'none'}", "forget": "absent.jsonl"})
