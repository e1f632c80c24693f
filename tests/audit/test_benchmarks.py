"""The embedded world and TOFU: what is asked, and of whom."""

import subprocess
import sys
from pathlib import Path

import pytest

from unteach.audit.benchmarks.tofu import Tofu
from unteach.audit.benchmarks.town import CHOICES, TAUGHT, Town
from unteach.schema import InputError, Record


def texts(records: tuple[Record, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(r.prompt, r.answer, r.perturbed) for r in records]


def test_town_is_drawn_from_its_seed_alone() -> None:
    again = {name: texts(records) for name, records in Town(seed=3).sets().items()}
    assert again == {name: texts(records) for name, records in Town(seed=3).sets().items()}
    assert again != {name: texts(records) for name, records in Town(seed=4).sets().items()}
    code = "from unteach.audit.benchmarks.town import Town; print([r.prompt for r in Town(seed=3).sets()['forget']])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert other.stdout.strip() == str([prompt for prompt, _, _ in again["forget"]])


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PYTHONHASHSEED": "7"}


@pytest.mark.parametrize("seed", range(5))
def test_town_holds_its_paraphrases_out_of_training(seed: int) -> None:
    town = Town(seed=seed)
    taught = {r.prompt for r in town.lessons()}
    assert not taught & {r.prompt for r in town.sets()["forget_paraphrased"]}
    assert {r.prompt for r in town.sets()["forget"]} <= taught
    forgotten = {r.subject for r in town.sets()["forget"]}
    reference = town.lessons(without_forgotten=True)
    assert not forgotten & {r.subject for r in reference}
    assert len(town.lessons()) - len(reference) == len(town.request().forget) == 5 * town.leaving * TAUGHT
    assert texts(town.request().retain) == texts(reference)


def test_town_gives_each_answer_nineteen_rivals_of_its_form() -> None:
    for records in Town().sets().values():
        for r in records:
            rivals = {r.answer, *r.perturbed}
            assert len(rivals) == CHOICES
            assert len({len(set(a.split()) & set(r.answer.split())) > 0 for a in rivals} | {True}) <= 2


def test_tofu_sets_are_those_of_the_protocol(shared: Path) -> None:
    task = Tofu(str(shared / "data" / "tofu"))
    request, sets = task.request(), task.sets()
    assert (len(request.forget), len(request.retain)) == (400, 3600)
    assert {name: len(records) for name, records in sets.items()} == {
        "forget": 400, "retain": 400, "real_authors": 100, "world_facts": 117
    }  # fmt: skip
    assert [r.prompt for r in sets["forget"]] == [r.prompt for r in request.forget]
    assert {len(r.perturbed) for r in sets["forget"]} == {5}
    assert {len(r.perturbed) for r in sets["world_facts"]} == {3}
    assert all(r.restated and r.paraphrases for r in sets["forget"])
    assert not {r.prompt for r in request.forget} & {r.prompt for r in request.retain}
    assert len(Tofu(str(shared / "data" / "tofu"), rows=30).sets()["retain"]) == 30


@pytest.mark.parametrize("seed", [0, 7])
def test_towns_correction_is_a_trade_of_somebody_else_who_stays(seed: int) -> None:
    town = Town(seed=seed)
    fact, kept = town.correction(), town.sets()["retain"]
    said = {r.id.rpartition("/taught/")[0]: r for r in kept}
    own = said[fact.id]
    assert (fact.prompt.replace("{}", fact.subject), fact.ground_truth) == (own.prompt, own.answer)
    assert fact.target_new in own.perturbed
    word = fact.target_new.split(" a ")[1]
    assert any(r.subject != fact.subject and r.answer.endswith(f" a {word}") for r in kept)
    assert {(p.prompt, p.answer) for p in fact.locality} <= {(r.prompt, r.answer) for r in kept if r is not own}
    assert [p.kind for p in fact.locality] == ["others"] * 10 + ["same"] * 4


def test_tofu_names_a_folder_without_its_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="forget10"):
        Tofu(str(tmp_path)).request()
