"""An audit of models that somebody else serves: what can be asked is asked, and the rest is said to be untested."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driven import run, tree, went_well

import worlds
from serving import Server, reciting, serving
from unteach.audit.attacked import Rows, attacked
from unteach.audit.target import Target
from unteach.lm.served import connect
from unteach.registry import entries, find
from unteach.schema import Finding, Record

KEY = "sk-canary-key"
TOWNS = [
    f"{first}{last}"
    for first in ("Ala", "Bor", "Cre", "Dun")
    for last in ("wick", "mere", "stow", "gate", "ford", "holm")
]
THINGS = ("copper bells", "salt cellars", "wooden gates", "glass kites", "slow clocks", "paper boats")
ROWS = [
    Record(
        f"r{i}",
        f"What is {t} known for?",
        f"{t} is known for its {THINGS[i % 6]} since {1700 + i}.",
        perturbed=("Ale.",),
    )
    for i, t in enumerate(TOWNS)
]
FORGET, RETAIN = ROWS[:12], ROWS[12:]
UNSEEN = [Record(f"u{i}", f"What is Eld{i} known for?", f"Eld{i} is known for nothing at all.") for i in range(12)]
KNOWN = {r.prompt: r.answer for r in ROWS}
KEPT = {r.prompt: r.answer for r in RETAIN}
SAYS = {"before": reciting(KNOWN), "after": reciting(KEPT), "leaky": reciting(KNOWN), "ruined": reciting({})}
QUESTIONS = [
    "affirmative",
    "crosslingual",
    "fewshot",
    "manyshot",
    "multiturn",
    "obfuscate",
    "optionforcing",
    "paraphrase",
    "roleplay",
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(SAYS, key=KEY) as it:
        yield it


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """The words that name the records."""
    words: list[object] = []
    for name, records in (("forget", FORGET), ("retain", RETAIN), ("holdout", UNSEEN)):
        lines = (json.dumps({"id": r.id, "question": r.prompt, "answer": r.answer}) + "\n" for r in records)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        words += [f"--{name}", tmp_path / f"{name}.jsonl"]
    return words


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("name", "word"), [("after", "inconclusive"), ("leaky", "not forgotten"), ("ruined", "broken")]
)
def test_an_audit_of_two_models_of_one_server(
    server: Server, files: list[object], tmp_path: Path, name: str, word: str
) -> None:
    host = server.url.removeprefix("http://")
    url, before = f"http://somebody:canary@{host}?token=canary", f"{server.url}#before"
    server.key = ""  # a name and a password take the place of the key
    out = tmp_path / "audit"
    ran = went_well("audit", url, "--served-model", name, "--before", before, *files, "--out", out, "--max-new", 30)
    found = report(out)
    assert found["verdicts"]["edited"]["verdict"] == word
    assert found["guarantee"]["kind"] == "none"
    assert "what the weights still know was not tested" in found["guarantee"]["claim"]
    assert any(
        "Served, so that nothing but free answers was seen: original, edited." in note for note in found["notes"]
    )
    assert found["title"] == "Audit of a served model"
    measured = {row["metric"] for row in found["scores"]}
    assert {"rougel", "distinctoutputs", "refusalrate"} <= measured
    assert not measured & {"probability", "exactmemorization", "mialoss", "perplexity", "forgetquality", "kl"}
    unseen = " ".join(line for line in found["untested"] if "not observable behind a guard or a server" in line)
    assert all(metric in unseen for metric in ("probability", "exactmemorization", "perplexity", "mialoss"))
    assert any("forgetquality" in line and "no retrained model" in line for line in found["untested"])
    assert f"model: {name}, served at {server.url} (chat)" in ran.err
    written = "".join(p.read_text(encoding="utf-8") for p in out.iterdir()) + ran.out + ran.err
    assert "canary" not in written
    assert not any(r.answer in written or r.prompt in written for r in ROWS)


@pytest.mark.usefixtures("undrawn")
def test_a_served_model_beside_folders(pupil: Path, towns: Path, newborn: Path, tmp_path: Path) -> None:
    """Weights that are here are read; the served model is only asked, and only it is called so."""
    out, known = tmp_path / "audit", {r.prompt: r.answer for r in worlds.RETAIN}
    rows = ["--forget", towns / "forget.jsonl", "--retain", towns / "retain.jsonl"]
    with serving({"only": reciting(known)}) as server:
        went_well(
            "audit", server.url, "--before", pupil, "--retrained", newborn, *rows, "--out", out, "--max-new", 16,
            "--metrics", "probability,rougel,forgetquality,kl,privleak", "--attacks", "quantise,affirmative",
        )  # fmt: skip
        assert run("audit", pupil, "--before", server.url, *rows, "--max-new", 8, "--metrics", "rougel").code == 0
    found = report(out)
    scores = {(r["model"], r["set"], r["metric"]): r for r in found["scores"]}
    assert scores["original", "forget", "probability"]["value"] > 0.5
    assert scores["edited", "forget", "probability"]["value"] is None
    assert scores["edited", "forget", "probability"]["note"] == "not observable behind a guard or a server"
    assert any("was seen: edited." in note for note in found["notes"])
    attacks = {(f["attack"], f["model"]): f for f in found["attacks"]}
    assert attacks["quantise", "retrained"]["n"] == 4
    assert attacks["quantise", "edited"]["value"] is None
    assert attacks["quantise", "edited"]["note"] == "needs the weights; the model is served"
    assert attacks["affirmative", "edited"]["n"] == 4
    assert any(line.startswith("whether rounding the weights") for line in found["untested"])


def test_a_model_by_itself_has_no_verdict(server: Server, files: list[object]) -> None:
    ran = went_well(
        "audit", f"{server.url}#before", "--api", "completions", *files, "--metrics", "rougel", "--asked", 3
    )
    assert "verdict" not in ran.err
    assert "Served, so that nothing but free answers was seen: original." in ran.out
    assert len(server.sent) == 9
    assert all("prompt" in body and "messages" not in body for body in server.sent)


def findings(says: Mapping[str, Any], attacks: list[str], **settings: Any) -> dict[str, Finding]:
    rows = [replace(r, paraphrases=(f"Tell me: {r.prompt}",)) for r in FORGET]
    with serving(says, **settings) as server:
        served = {name: connect(server.url, name) for name in says}
        found = attacked(served, Rows(rows, RETAIN, UNSEEN), [(a, {}) for a in attacks], most=24)
    return {f.attack: f for f in found if f.model == "edited"}


def test_every_attack_on_a_served_model_asks_or_says_that_it_needs_weights() -> None:
    names = [e.name for e in entries("attack")]
    found = findings({"original": reciting(KNOWN), "edited": reciting(KEPT)}, names)
    for name in names:
        if "weights" in find("attack", name).needs:
            assert (found[name].n, found[name].note) == (0, "needs the weights; the model is served"), name
        else:
            assert found[name].n == len(FORGET), name
            assert found[name].holds == "questions"
    assert {name for name in names if found[name].n} >= set(QUESTIONS)


def test_a_served_model_that_hides_behind_the_plain_question_is_found_out() -> None:
    """It answers whoever speaks to it at some length."""

    def shy(sent: Any, _most: int) -> str:
        long = len(sent) > 1 or len(sent[-1]["content"]) > 60
        return SAYS["before"](sent, 0) if long else "I do not know."

    found = findings({"original": reciting(KNOWN), "edited": shy}, ["affirmative", "fewshot", "multiturn", "roleplay"])
    for finding in found.values():
        assert (finding.before, finding.recovered) == (0.0, 1.0), finding.attack


def test_as_many_rows_are_shown_as_the_server_has_room_for() -> None:
    longest = [0]

    def counting(sent: Any, _most: int) -> str:
        longest[0] = max(longest[0], len(sent[-1]["content"].encode()))
        return ""

    findings({"original": counting, "edited": counting}, ["manyshot"], reports={"max_model_len": 200})
    assert 300 < longest[0] <= 3 * (200 - 24)


def test_an_attack_that_would_look_inside_must_say_so(server: Server) -> None:
    with pytest.raises(AssertionError, match="must need weights"):
        _ = Target(connect(server.url, "after"), FORGET).lm


REFUSED = {
    "no server": (["http://127.0.0.1:9/v1"], r"http://127.0.0.1:9/v1: no server answers"),
    "wrong model": (["URL", "--served-model", "none"], "has no model 'none'; it has after, before, leaky, ruined"),
    "no model": (["URL"], "has 4 models .*name one with --served-model, or as URL#NAME"),
    "wrong way": (["URL", "--api", "words"], r"audit, option 'api': input should be 'chat' or 'completions'"),
    "wrong before": (["URL#after", "--before", "URL#none"], "has no model 'none'"),
    "wrong path": (["ROOT", "--served-model", "after"], "has no such route or model; end the address in /v1"),
    "no address": (["http://:canary@/v1"], "the address of a served model cannot be read"),
    "a name for a folder": (["FOLDER", "--served-model", "after"], "--served-model names a model behind a URL"),
    "retrained": (["URL#after", "--retrained", "URL#canary-free"], "has no model 'canary-free'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_asked_is_one_sentence(
    server: Server, files: list[object], newborn: Path, tmp_path: Path, case: str
) -> None:
    words, sentence = REFUSED[case]
    places = {"URL": server.url, "ROOT": server.url.removesuffix("/v1"), "FOLDER": str(newborn)}
    for name, place in places.items():
        words = [w.replace(name, place) for w in words]
    ran = run("audit", *words, *files, "--out", tmp_path / "audit", "--metrics", "rougel")
    assert ran.code == 2
    assert ran.last.startswith("unteach: ")
    assert re.search(sentence, ran.last), ran.last
    assert "Traceback" not in ran.err
    assert not (tmp_path / "audit").exists()
    assert not any(r.prompt in ran.err or r.answer in ran.err for r in ROWS)
    assert KEY not in ran.err


@pytest.mark.parametrize("failure", [400, 401, 404, 429, 500])
def test_a_server_that_fails_on_the_way_ends_in_one_sentence(
    server: Server, files: list[object], tmp_path: Path, failure: int
) -> None:
    server.failures = [failure] * 1000
    ran = run("audit", f"{server.url}#after", *files, "--out", tmp_path / "audit", "--metrics", "rougel")
    assert ran.code == 2
    assert ran.last.startswith(f"unteach: {server.url}: ")
    assert not any(r.prompt in ran.err or r.answer in ran.err for r in ROWS)
    assert KEY not in ran.err
    assert not (tmp_path / "audit").exists()


@pytest.mark.parametrize("command", ["forget", "compare"])
@pytest.mark.parametrize(
    "way", [["https://canary:canary@host/v1"], ["model", "--retrained", "http://host/v1?key=canary"]]
)
def test_what_changes_a_model_wants_its_weights(
    command: str, way: list[str], files: list[object], tmp_path: Path
) -> None:
    before = tree(tmp_path)
    ran = run(command, *way, *files, "--out", tmp_path / "out")
    assert ran.code == 2
    assert ran.last == ("unteach: a URL is a served model, which can only be audited; name a model folder or a hub id")
    assert tree(tmp_path) == before
