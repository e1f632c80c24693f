"""Ways to say what `forget` is to do, and what it says and leaves while and after it does it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from driven import run, tree, went_well

import worlds
from unteach import registry
from unteach.edit import train
from unteach.lm.load import load
from unteach.report import from_json

PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

from unteach.registry import objective


@objective("fade")
@dataclass(frozen=True)
class Fade:
    """Lower an answer's log-probability: strength * mean(s). Nobody 2020."""

    needs: ClassVar[frozenset[str]] = frozenset({"forget"})
    role: ClassVar[str] = "forget"
    retain: ClassVar[str] = "nll"
    weight: ClassVar[float] = 1.0
    strength: float = 1.0

    def __call__(self, now, before):
        return self.strength * now.token_logps.mean()
'''


pytestmark = pytest.mark.usefixtures("undrawn")


def noted(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return found


def edit_in(out: Path) -> str:
    return str(noted(out)["edit"])


def test_a_recipe_says_what_the_flags_say(forgetting: list[object], towns: Path, pupil: Path, tmp_path: Path) -> None:
    went_well(*forgetting, "--method", "npo", "--beta", 0.2, "--out", tmp_path / "flags")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
        model: {pupil}
        forget: {towns / "forget.jsonl"}
        retain: {towns / "retain.jsonl"}
        out: {tmp_path / "recipe"}
        method: npo
        metrics: probability,rougel
        epochs: 3
        lr: 1.0e-3
        accumulate: 1
        batch-size: 4
        rank: 4
        max_new: 8
        beta: 0.2
        """
    )
    went_well("forget", "--config", recipe)
    went_well("forget", f"config={recipe}", f"out={tmp_path / 'words'}", "max-new=8")
    assert edit_in(tmp_path / "recipe") == edit_in(tmp_path / "flags") == edit_in(tmp_path / "words")
    # Flags go before the recipe, and key=value before the flags.
    went_well("forget", "--beta", 0.3, "--config", recipe, "--out", tmp_path / "out", "--seed", 1, "seed=2", "rank=3")
    told = from_json((tmp_path / "out" / "report.json").read_text()).method
    assert {k: told[k] for k in ("beta", "seed", "rank", "batch_size")} == {
        "beta": 0.3,
        "seed": 2,
        "rank": 3,
        "batch_size": 4,
    }
    assert not (tmp_path / "recipe" / "private" / "checkpoints").exists()


def test_underscores_and_dashes_and_equals_signs_are_the_same(forgetting: list[object], tmp_path: Path) -> None:
    spellings = (
        ("--weight-decay", 0.1, "--retain-weight", 2),
        ("--weight_decay", 0.1, "--retain_weight", 2),
        ("--weight-decay=0.1", "--retain-weight=2"),
        ("weight_decay=0.1", "retain-weight=2"),
    )
    for i, words in enumerate(spellings):
        went_well(*forgetting, *words, "--out", tmp_path / str(i), "--epochs", 1)
    assert len({edit_in(tmp_path / str(i)) for i in range(len(spellings))}) == 1
    told = from_json((tmp_path / "0" / "report.json").read_text()).method
    assert (told["weight_decay"], told["retain_weight"]) == (0.1, 2.0)


class Interrupted:
    """Training that is interrupted before its n-th update, and the count of updates taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop: int | None) -> None:
        self.count, self.stop, self.update = 0, stop, train._update
        monkeypatch.setattr(train, "_update", self.take)

    def take(self, *words: Any) -> float:
        if self.count == self.stop:
            raise KeyboardInterrupt
        self.count += 1
        return self.update(*words)


def test_an_interrupted_forgetting_goes_on(
    forgetting: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        whole = Interrupted(patched, None)
        went_well(*forgetting, "--out", tmp_path / "whole")
    with monkeypatch.context() as patched:
        Interrupted(patched, 2)
        ran = run(*forgetting, "--out", out)
    assert (ran.code, ran.last) == (130, "unteach: interrupted; give the same command again to go on")
    assert "Traceback" not in ran.err
    assert sorted(p.name for p in out.iterdir()) == ["private"]
    with monkeypatch.context() as patched:
        rest = Interrupted(patched, None)
        went_well(*forgetting, "--out", out)
    assert (whole.count, rest.count) == (3, 1)
    assert edit_in(out) == edit_in(tmp_path / "whole")
    assert noted(out)["release"] == noted(tmp_path / "whole")["release"] == load(out / "release").digest()
    assert sorted(p.name for p in (out / "private").iterdir()) == ["key", "sealed"]


def test_an_interruption_before_the_first_step_leaves_nothing(
    forgetting: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unteach.edit.rows.Desk.remember", stop)
    assert run(*forgetting, "--out", tmp_path / "new" / "out").code == 130
    assert tree(tmp_path) == {}


def test_a_second_run_into_a_finished_folder_is_refused(forgetting: list[object], tmp_path: Path) -> None:
    went_well(*forgetting, "--out", tmp_path)
    before = tree(tmp_path)
    ran = run(*forgetting, "--out", tmp_path)
    assert ran.code == 2
    assert (
        ran.last
        == f"unteach: {tmp_path}: holds the result of an earlier run; choose another folder with --out, or remove it"
    )
    assert tree(tmp_path) == before


def test_an_objective_of_ones_own(forgetting: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_LIVE", dict(registry._LIVE))
    plugin, out = tmp_path / "mine.py", tmp_path / "out"
    plugin.write_text(PLUGIN, encoding="utf-8")
    assert "no method 'fade'" in run(*forgetting, "--method", "fade", "--out", out).last
    went_well(*forgetting, "--plugin", plugin, "--method", "fade", "--strength", 0.5, "--out", out)
    report = from_json((out / "report.json").read_text())
    assert (report.method["name"], report.method["strength"]) == ("fade", 0.5)
    values = {r.model: r.score.value for r in report.scores if (r.set, r.score.name) == ("forget", "probability")}
    assert values["edited"] < values["original"]
    ran = run(*forgetting, "--plugin", plugin, "--method", "fade", "--strenght", 1, "--out", tmp_path / "other")
    assert ran.last == "unteach: method 'fade' has no option 'strenght'; did you mean 'strength'?"


@pytest.mark.parametrize(
    ("removed", "sentence"),
    [
        (
            '    role: ClassVar[str] = "forget"\n',
            "objective 'fade' does not say its role; give it these class attributes",
        ),
        ("@dataclass(frozen=True)\n", "objective 'fade' is no dataclass; put @dataclass(frozen=True) before it"),
    ],
)
def test_an_objective_that_lacks_something(
    removed: str, sentence: str, forgetting: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_LIVE", dict(registry._LIVE))
    (tmp_path / "mine.py").write_text(PLUGIN.replace(removed, ""), encoding="utf-8")
    ran = run(*forgetting, "--plugin", tmp_path / "mine.py", "--method", "fade", "--out", tmp_path / "out")
    assert (ran.code, ran.last) == (2, f"unteach: {sentence}")


def test_show_lets_texts_into_the_report_and_finalise_takes_them_out(forgetting: list[object], tmp_path: Path) -> None:
    texts = [t.encode() for r in worlds.FORGET for t in (r.prompt, r.answer)]

    def holding(folder: Path) -> set[str]:
        files = [p for p in folder.rglob("*") if p.is_file()]
        return {p.name for p in files if any(t in p.read_bytes() for t in texts)}

    went_well(*forgetting, "--out", tmp_path / "masked")
    assert holding(tmp_path / "masked") == set()
    out = tmp_path / "shown"
    went_well(*forgetting, "--out", out, "--show")
    assert {"report.html", "report.json"} <= holding(out)
    assert not holding(out / "release")
    went_well("finalise", out)
    assert holding(out) == set()
    report = from_json((out / "report.json").read_text())
    assert (report.masked, report.examples) == (True, ())
    assert noted(out)["state"] == "final"


def test_what_is_cut_is_said_with_its_lines(forgetting: list[object], towns: Path, tmp_path: Path) -> None:
    file = tmp_path / "forget.jsonl"
    long = json.dumps({"question": "What is long?", "answer": "It is " + "very " * 90 + "long."}) + "\n"
    file.write_text((towns / "forget.jsonl").read_text() + "\n" + long + long.replace("What", "Who"), encoding="utf-8")
    words = [w if w != towns / "forget.jsonl" else file for w in forgetting]
    ran = went_well(*words, "--epochs", 1, "--out", tmp_path / "out")
    assert "  forget: 2 rows are longer than 96 tokens and are cut (lines 6, 7)\n" in ran.err
    assert "very" not in ran.err + ran.out


def test_columns_are_told_by_name_and_nothing_else(pupil: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("Question,ANSWER,notes,It is secret\nWho is Zanzibar?,Nobody is Zanzibar.,said Quixotic,x\n")
    ran = went_well("audit", pupil, "--forget", file, "--max-new", 4, "--metrics", "probability")
    assert f"forget: 1 records from {file} (prompt <- Question, answer <- ANSWER)\n" in ran.err
    assert "  columns not used: notes and 1 more\n" in ran.err
    assert not {"zanzibar", "quixotic", "secret"} & set((ran.out + ran.err).lower().replace(".", " ").split())
    assert "| " in ran.out, "without --out the report comes as Markdown"


def test_the_limit_and_what_overlaps_nearly_are_said(forgetting: list[object], towns: Path, tmp_path: Path) -> None:
    near = tmp_path / "near.jsonl"
    rows = [json.loads(line) for line in (towns / "forget.jsonl").read_text().splitlines()]
    rows[1] |= {"id": "near", "answer": rows[1]["answer"].replace(".", ", they say.")}
    near.write_text(json.dumps(rows[1]) + "\n" + (towns / "retain.jsonl").read_text(), encoding="utf-8")
    ran = went_well(
        *forgetting, "--retain", near, "--limit", 2, "--near", 0.5, "--epochs", 1, "--out", tmp_path / "out"
    )
    assert ran.err.count("reading stopped after 2 rows, as asked") == 2
    assert "line 2 of" in ran.err
    assert (
        f"near-duplicates (word 3-grams with a Jaccard similarity of 0.5 or more) stand at line 2 of {towns / 'forget.jsonl'} and"
        in ran.err
    )


def test_a_method_that_is_told_of_some_rows_is_audited_on_all(forgetting: list[object], tmp_path: Path) -> None:
    """Corrective unlearning: what has to go is known in part."""
    out = tmp_path / "told"
    ran = went_well(*forgetting, "--known", 0.5, "--out", out)
    assert "told of: 2 of 4 records to forget" in ran.err
    report = from_json((out / "report.json").read_text(encoding="utf-8"))
    assert report.sets["forget"]["n"] == 4
    assert any("told of 2 rows" in note for note in report.notes)
    went_well(*forgetting, "--out", tmp_path / "whole")
    assert edit_in(out) != edit_in(tmp_path / "whole")
    refused = run(*forgetting, "--known", 0, "--out", tmp_path / "none")
    assert refused.code == 2
    assert "known must lie above 0" in refused.err


def test_replacement_answers_of_ones_own_are_read(forgetting: list[object], tmp_path: Path) -> None:
    answers = tmp_path / "answers.txt"
    answers.write_text("No idea.\n\n  Ask someone else.  \n", encoding="utf-8")
    for name, words in (("ours", ()), ("own", ("--instead", answers))):
        went_well(*forgetting, "--method", "idk", *words, "--out", tmp_path / name)
    assert edit_in(tmp_path / "ours") != edit_in(tmp_path / "own")


def test_code_that_lies_beside_a_known_model_is_never_run(
    forgetting: list[object], pupil: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(pupil, tmp_path / "model"))
    for file, names in (
        ("config.json", {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.Own", "own.Own"]}),
    ):
        (model / file).write_text(json.dumps(json.loads((model / file).read_text()) | {"auto_map": names}))
    (model / "own.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\n")
    (model / "evil.bin").write_bytes(b"\x80\x04.")
    words = [w if w != pupil else model for w in forgetting]
    went_well(*words, "--epochs", 1, "--out", tmp_path / "out")
    assert not (tmp_path / "trace").exists()
    assert sorted(p.name for p in (tmp_path / "out" / "release").glob("*.py")) == []
    assert load(model).digest() == load(pupil).digest()


def test_a_model_of_ones_own_adapter_forgets_in_either_form(
    forgetting: list[object], pupil: Path, tmp_path: Path
) -> None:
    adapter = worlds.adapter(pupil, tmp_path / "own")
    words = [w if w != pupil else adapter for w in forgetting]
    before = load(adapter).digest()
    for form in ("baked", "adapter"):
        out = tmp_path / form
        went_well(*words, "--release", form, "--out", out)
        went_well("audit", out / "release", "--forget", words[3], "--max-new", 4, "--metrics", "probability")
        went_well("undo", out)
    assert load(adapter).digest() == before
