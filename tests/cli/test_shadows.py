"""Shadow models: made, listed, compared with; a list that makes no sense is refused before a model is opened."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from driven import Ran, run, tree, went_well

import worlds
from unteach import shadows
from unteach.audit.shadowlist import read_list
from unteach.audit.shadows import World
from unteach.lm.load import load
from unteach.recipe import Shadowing
from unteach.report import read as read_report
from unteach.schema import InputError, Record, Score

pytestmark = pytest.mark.usefixtures("undrawn")
UNSEEN = tuple(Record(f"new-{i}", f"What is {t} known for?", f"{t} has nothing.") for i, t in enumerate("WXYZ"))
SHORT = ("--epochs", 1, "--lr", "1e-2", "--accumulate", 1, "--batch-size", 6, "--tune", "full")
SETS = {"forget": worlds.FORGET, "retain": worlds.RETAIN, "holdout": UNSEEN}


@pytest.fixture(scope="module")
def files(towns: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    holdout = tmp_path_factory.mktemp("unseen") / "holdout.jsonl"
    rows = (json.dumps({"id": r.id, "question": r.prompt, "answer": r.answer}) + "\n" for r in UNSEEN)
    holdout.write_text("".join(rows), encoding="utf-8")
    return ["--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl", "--holdout", holdout]


@pytest.fixture(scope="module")
def made(newborn: Path, files: list[object], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """Eight models, and those of them that had rows to forget once more after forgetting them."""
    out = tmp_path_factory.mktemp("made") / "shadows"
    ga = ["--unlearn", "ga", "ga.epochs=1", "ga.lr=1e-3"]
    return out, went_well("shadows", newborn, *files, "--out", out, "--count", 8, *ga, *SHORT)


def scores(folder: Path) -> dict[tuple[str, str], Score]:
    return {(r.model, r.score.name): r.score for r in read_report(folder).scores}


def test_models_are_taught_and_then_compared_with(
    made: tuple[Path, Ran], newborn: Path, pupil: Path, files: list[object], tmp_path: Path
) -> None:
    out, ran = made
    assert ran.out.strip() == str(out / "shadows.json")
    assert "shadow model 8 of 8: " in ran.err
    assert ran.err.index("7 more at about") < ran.err.index("shadow model 2 of 8")
    listed = read_list(out, SETS)
    known = Counter(i for m in listed if m.world != "unlearned" for i in m.members)
    assert known == dict.fromkeys([r.id for r in (*worlds.FORGET, *UNSEEN)], 4)
    digests = {load(m.model).digest() for m in listed}
    assert len(digests) == len(listed) == 8 + sum(m.world == "in" for m in listed)

    audit = ["audit", pupil, "--before", newborn, *files, "--out", tmp_path / "audit", "--max-new", 4]
    ran = went_well(*audit, "--shadows", out, "--metrics", "lira,ulira")
    assert f"shadow model {len(listed)} of {len(listed)}" in ran.err
    found = scores(tmp_path / "audit")
    assert found["edited", "lira"].value is not None
    assert found["edited", "lira"].note.startswith(f"{len(listed)} models, online")
    assert found["edited", "ulira"].n == 4
    gone = sum(m.world == "unlearned" for m in listed)
    without = sum(not m.members >= {r.id for r in worlds.FORGET} for m in listed if m.world != "unlearned")
    assert found["edited", "ulira"].note == f"{gone} unlearned and {without} retrained models"


def test_with_shadows_the_usual_suite_reads_them_and_a_forgetting_can_too(
    made: tuple[Path, Ran], pupil: Path, files: list[object], tmp_path: Path
) -> None:
    out, _ = made
    went_well("audit", pupil, *files, "--shadows", out, "--max-new", 2, "--limit", 6, "--out", tmp_path / "usual")
    assert {"probability", "lira", "ulira", "liraforget"} <= {name for _, name in scores(tmp_path / "usual")}
    forgetting = ["forget", pupil, *files, "--out", tmp_path / "forgotten", "--metrics", "ulira", *SHORT]
    went_well(*forgetting, "--shadows", out)
    assert scores(tmp_path / "forgotten")["edited", "ulira"].n == 4


@pytest.mark.slow
def test_models_made_side_by_side_are_the_same(newborn: Path, files: list[object], tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        went_well("shadows", newborn, *files, "--out", tmp_path / name, "--count", 3, "--workers", workers, *SHORT)
    one, two = ([load(m.model).digest() for m in read_list(tmp_path / name, SETS)] for name in ("one", "two"))
    assert one == two


def test_a_making_that_was_interrupted_goes_on(
    newborn: Path, files: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "shadows"
    words = ["shadows", newborn, *files, "--out", out, "--count", 3, "--unlearn", "ga", "ga.epochs=1", *SHORT]
    write, calls = shadows._write, []

    def pulled(*given: object) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(*given)

    monkeypatch.setattr(shadows, "_write", pulled)
    ran = run(*words)
    assert (ran.code, "give the same command again to go on" in ran.last) == (130, True)
    assert not (out / "shadows.json").exists()
    before = {k: v for k, v in tree(out).items() if "checkpoints" not in k}
    monkeypatch.setattr(shadows, "_write", write)
    ran = went_well(*words)
    assert "shadow model 1 of 3: done before" in ran.err
    after = tree(out)
    assert not any("checkpoints" in k for k in after)
    assert {k: v for k, v in after.items() if k in before} == before
    entries = json.loads((out / "shadows.json").read_text(encoding="utf-8"))
    assert all((out / e["model"] / "config.json").is_file() for e in entries)
    whole = tmp_path / "whole"
    went_well(*[whole if w == out else w for w in words])
    assert [load(whole / e["model"]).digest() for e in entries] == [load(out / e["model"]).digest() for e in entries]
    ran = run(*words, "--seed", 5)
    assert (ran.code, "holds shadow models with other settings" in ran.last) == (2, True)


def test_adapters_are_as_good_as_whole_models(newborn: Path, files: list[object], tmp_path: Path) -> None:
    out = tmp_path / "shadows"
    lora = [w if w != "full" else "lora" for w in SHORT]
    more = ["--unlearn", "ga", "ga.epochs=1", "ga.tune=lora", "--release", "adapter", "--draw", "all", *lora]
    went_well("shadows", newborn, *files, "--out", out, "--count", 2, *more)
    listed = read_list(out, SETS)
    everyone = {r.id for r in (*worlds.FORGET, *UNSEEN)}
    assert [(m.world, m.members) for m in listed] == [
        ("in", everyone), ("unlearned", {r.id for r in worlds.FORGET}), ("out", set()),
    ]  # fmt: skip
    assert not list(out.rglob("model.safetensors"))
    taught, forgot = (load(m.model) for m in listed[:2])
    assert taught.digest() != forgot.digest()


def test_every_row_goes_into_half_of_the_models_and_rows_are_drawn_apart() -> None:
    ids = [f"r{i}" for i in range(400)]
    draws = shadows.drawn_into(ids, Shadowing(count=6), 0)
    assert {sum(i in d for d in draws) for i in ids} == {3}
    assert all(160 < len(d) < 240 for d in draws)  # 4 standard deviations of 400 coins
    assert (
        draws == shadows.drawn_into(ids[::-1], Shadowing(count=6), 0) != shadows.drawn_into(ids, Shadowing(count=6), 1)
    )
    both = sum(a in d and b in d for d in draws for a, b in zip(ids[::2], ids[1::2], strict=True)) / 1200
    assert both == pytest.approx(0.25, abs=0.05)


Listing = Callable[[object], Path]


@pytest.fixture
def listing(tmp_path: Path, newborn: Path) -> Listing:
    def written(entries: object) -> Path:
        shutil.copytree(newborn, tmp_path / "model", dirs_exist_ok=True)
        path = tmp_path / "list.json"
        path.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
        return path

    return written


@pytest.mark.parametrize(
    ("world", "given", "ids"),
    [
        ("in", {}, {r.id for r in worlds.FORGET}),
        ("in", {"members": "all"}, {r.id for r in worlds.FORGET}),
        ("in", {"members": "none"}, set()),
        ("out", {}, set()),
        ("out", {"members": ["new-1", "of another audit"]}, {"new-1"}),
        ("unlearned", {"members": ["town-0", "town-2"]}, {"town-0", "town-2"}),
        ("in", {"members": "rows.jsonl"}, {"town-1", "new-0"}),
    ],
)
def test_members_are_named_by_word_by_id_or_by_content(
    listing: Listing, tmp_path: Path, world: World, given: dict[str, object], ids: set[str]
) -> None:
    rows = [
        {"id": f"other-{i}", "prompt": r.prompt, "response": r.answer}
        for i, r in enumerate((*worlds.FORGET[1:2], UNSEEN[0]))
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (found,) = read_list(listing([{"model": "model", "world": world, **given}]), SETS)
    assert (found.model, found.world, found.members) == (str(tmp_path / "model"), world, ids)


ONE = {"model": "model", "world": "in"}
REFUSED = {
    "no JSON": ("[{]", "list.json: not valid JSON; write [{"),
    "no list": ({"model": "model"}, "list.json: not a list of models; write [{"),
    "an empty list": ([], "list.json: not a list of models; write [{"),
    "words": (["model"], "list.json, model 1: does not say which model it is; write [{"),
    "no model": ([ONE, {"world": "in"}], "list.json, model 2: does not say which model it is"),
    "another key": ([{**ONE, "member": "all"}], "list.json, model 1: there is no key 'member'; there are model, world, members"),
    "no world": ([{"model": "model"}], "list.json, model 1: its world is none of in, out, unlearned; write one of them"),
    "an unknown world": ([ONE, {**ONE, "world": "beyond"}], "model 2: its world is none of in, out, unlearned"),
    "a missing model": ([{**ONE, "model": "./gone"}], "model 1: there is no such model; name a folder"),
    "a folder without a model": ([{**ONE, "model": "."}], "no config.json; name the folder that `save_pretrained` wrote"),
    "unknown ids": ([{**ONE, "members": ["a", "b"]}], "model 1: none of its members is a row of this audit; write all, none,"),
    "a file of other rows": ([{**ONE, "members": "others.jsonl"}], "model 1: none of its members is a row of this audit"),
    "a missing file of rows": ([{**ONE, "members": "gone.jsonl"}], "gone.jsonl: there is no such file; check the path"),
    "members by number": ([{**ONE, "members": [1, 2]}], "model 1: its members are not understood; write all, none,"),
    "a member that is out": ([{**ONE, "world": "out", "members": ["town-0"]}], "was trained with rows to forget and is not out"),
    "nothing to unlearn": ([{**ONE, "world": "unlearned", "members": "none"}], "had no row to forget and unlearned none; write the world out"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_list_that_makes_no_sense_is_refused(
    what: str, listing: Listing, pupil: Path, files: list[object], tmp_path: Path
) -> None:
    entries, says = REFUSED[what]
    (tmp_path / "others.jsonl").write_text('{"question": "Who?", "answer": "CANARY7391"}\n', encoding="utf-8")
    ran = run("audit", pupil, *files, "--metrics", "lira", "--shadows", listing(entries))
    assert (ran.code, ran.out) == (2, "")
    assert ran.last.startswith("unteach: ")
    assert says in ran.last
    assert "CANARY7391" not in ran.err


def test_a_list_that_nothing_reads_or_that_is_not_there_is_refused(
    listing: Listing, pupil: Path, files: list[object], tmp_path: Path
) -> None:
    ran = run("audit", pupil, *files, "--metrics", "probability", "--shadows", listing([ONE]))
    assert ran.code == 2
    assert "none of the metrics reads what --shadows lists; add one of " in ran.last
    ran = run("audit", pupil, *files, "--shadows", tmp_path / "gone")
    assert (ran.code, "gone: cannot be read; name a list of shadow models" in ran.last) == (2, True)
    with pytest.raises(InputError, match=r"model/shadows\.json: cannot be read"):
        read_list(tmp_path / "model", SETS)


MADE_NONSENSE = {
    "one model": (["--count", 1], "shadows: count must be at least 2; see `unteach shadows --help`"),
    "no worker": (["--workers", 0], "shadows: workers must be at least 1"),
    "a mistyped flag": (["--cuont", 4], "shadows has no option 'cuont'; did you mean 'count'"),
    "an unknown method": (["--unlearn", "npoo"], "there is no method 'npoo'; did you mean 'npo'"),
    "an unknown option of it": (["--unlearn", "npo", "npo.betta=1"], "method 'npo' has no option 'betta'; did you mean 'beta'"),
    "an option of no method": (["npo.beta=1"], "shadows has no option 'npo.beta'"),
    "an adapter of all weights": (["--release", "adapter"], "--tune full makes no adapter; choose --release baked"),
    "an audit's option": (["--metrics", "lira"], "shadows has no option 'metrics'"),
    "no training": (["--epochs", 0], "shadows: epochs must be greater than 0"),
}  # fmt: skip


@pytest.mark.parametrize("what", MADE_NONSENSE)
def test_a_making_that_makes_no_sense_is_refused(what: str, newborn: Path, files: list[object], tmp_path: Path) -> None:
    more, says = MADE_NONSENSE[what]
    ran = run("shadows", newborn, *files, "--out", tmp_path / "out", *SHORT, *more)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.last
    assert not (tmp_path / "out").exists()


def test_a_making_without_rows_that_stay_or_among_other_things_is_refused(
    newborn: Path, files: list[object], tmp_path: Path
) -> None:
    ran = run("shadows", newborn, *files[:2], "--out", tmp_path / "out", *SHORT)
    assert "shadow models are taught rows that stay, too; give --retain FILE" in ran.last
    (tmp_path / "letter").write_text("a")
    ran = run("shadows", newborn, *files, "--out", tmp_path, *SHORT)
    assert (ran.code, "not an empty folder; choose an empty or a new one with --out" in ran.last) == (2, True)
