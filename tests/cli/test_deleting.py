"""Training in shards, pricing and deleting by the command line."""

import json
import shutil
from pathlib import Path

import pytest
from driven import run, went_well

import worlds
from unteach.service import keys, verify


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.saved(worlds.llama(), tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    lines = [
        {"id": r.id, "prompt": r.prompt, "answer": r.answer, "subject": f"s{n // 2}", "risk": n % 2}
        for n, r in enumerate(worlds.RECORDS)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def said(*words: object) -> str:
    return went_well(*words).out


def failed(*words: object, says: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert says in ran.err


def kept_out(rows: Path, listed: Path) -> str:
    """What is said of deleted rows in the data; that they are there is no success."""
    ran = run("check", rows, "--exclusion", listed)
    assert ran.code == 1
    return ran.out


PARTS = ["--shards", 2, "--slices", 2, "--risks", 2, "--epochs", 1, "--batch-size", 4, "--rank", 2]


def test_a_subject_is_deleted_from_the_command_line(base: Path, rows: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    told = said("train", base, "--data", rows, "--out", store, *PARTS)
    assert "12 records in 2 shards of 2 slices; 4 stages trained" in told
    listed = tmp_path / "gone.json"
    first = said("delete", store, "--subject", "s1", "--at-once", "--exclusion", listed)
    assert "came back: 2 of 12" in kept_out(rows, listed)
    assert "2 records, 0 of them as duplicates" in first
    assert "influence-free" in first
    assert "certificate" not in first
    done = said("delete", store, "--checkpoints", tmp_path / "elsewhere")
    assert "retrain-equal" in done
    (file,) = (store / "certificates").iterdir()
    assert verify.certificate(file.read_bytes(), keys.trusted(store / "issuer" / "key.pem.pub", "issuer"))
    assert "10 records in 2 shards" in said("plan", store)
    went_well("verify", file, "--key", store / "issuer" / "key.pem.pub", "--store", store)
    failed("delete", store, says="nothing is asked for and no request is open")
    again = said("verify", file, "--key", store / "issuer" / "key.pem.pub", "--store", store, "--rebuild")
    assert "holds: rebuild" in again
    assert "holds: rebuild" in said(
        "verify", file, "--key", store / "issuer" / "key.pem.pub", "--store", store, "--spot"
    )
    key = store / "issuer" / "key.pem.pub"
    went_well("verify", "--log", store, "--checkpoints", tmp_path / "elsewhere", "--key", key)
    failed("verify", file, "--key", store / "issuer" / "key.pem.pub", "--spot", says="give --store")


def test_the_release_is_audited_and_the_certificate_cites_the_report(base: Path, rows: Path, tmp_path: Path) -> None:
    store, place = tmp_path / "store", tmp_path / "audits"
    said("train", base, "--data", rows, "--out", store, *PARTS)
    told = said("delete", store, "--subject", "s1", "--audit", place)
    assert f"audited before the rows go: {place / 'R000001' / 'report.html'}" in told
    words = ("verify", store / "certificates" / "R000001.json", "--key", store / "issuer" / "key.pem.pub")
    shown = said(*words, "--store", store, "--report", place / "R000001" / "report.json")
    assert "holds: evidence. report.json is the report that was signed" in shown
    assert "measured: rougel on forget, " in shown
    assert "2 rows; before " in shown
    assert "audit: inconclusive; the report has the SHA-256 " in shown  # two rows are too few
    assert "gate: " in shown
    other = tmp_path / "report.json"
    other.write_bytes((place / "R000001" / "report.json").read_bytes() + b" ")
    ran = run(*words, "--report", other)
    assert (ran.code, "FAILS: evidence. report.json is not the report" in ran.out) == (1, True)
    failed("delete", store, "--ids", "a", "--holdout", rows, says="name its folder with --audit")


@pytest.mark.slow
def test_processes_make_the_same_bytes(base: Path, rows: Path, tmp_path: Path) -> None:
    stores = [tmp_path / "one", tmp_path / "two"]
    said("train", base, "--data", rows, "--out", stores[0], *PARTS)
    shutil.copytree(*stores)
    for store, how in zip(stores, ("inline", "processes"), strict=True):
        for n in (0, 1):
            said("delete", store, "--ids", f"{worlds.RECORDS[n].id},{worlds.RECORDS[-n - 1].id}", "--executor", how)
    one, two = ({f.name for f in (s / "blobs").iterdir()} for s in stores)
    assert one == two


def test_the_price_is_said_beforehand_and_is_right(base: Path, rows: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    went_well("train", base, "--data", rows, "--out", store, *PARTS)
    one = worlds.RECORDS[3].id
    told = said("plan", store, "--ids", one)
    (price,) = (line for line in told.splitlines() if line.startswith("shard rebuild: "))
    records = int(price.split(", ")[1].split()[0])
    assert f"rebuilt: {records} records of steps" in said("delete", store, "--ids", one)


def test_a_model_from_elsewhere_is_told_every_way_and_what_would_stay_behind(base: Path, rows: Path) -> None:
    worlds.adapter(base, base.parent / "adapter")
    quantised = base.parent / "small"
    quantised.mkdir()
    (quantised / "config.json").write_text(json.dumps({"_name_or_path": str(base), "quantization_config": {}}))
    (base.parent / "base.gguf").touch()
    told = said("plan", base, "--forget", rows, "--retain", rows)
    assert [line.split(" (")[0] for line in told.splitlines()[:4]] == [
        "retrain without the rows", "rebuild a shard", "forget and audit", "suppress at inference"
    ]  # fmt: skip
    for child in ("adapter: an adapter on it", "small: made of it, quantised", "base.gguf: an export"):
        assert f"left behind: {child}" in told
    assert "drop the adapter (exact, influence-free)" in said("plan", base.parent / "adapter", "--forget", rows)
    failed("plan", base, "--ids", "a", says="taken for a model; give --forget")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ids", "nobody"], "1 of 1 ids are not in the store"),
        (["--ids", "a,,b"], "an empty id between its commas"),
        (["--subject", "nobody"], "no record of the store bears this subject"),
        (["--ids", "a", "--subject", "s1"], "say the same thing in three ways"),
        (["--ids", "a", "--policy", "all"], "choose record, exact, near"),
        (["--ids", "a", "--base", "gone"], "gone"),
    ],
)
def test_what_cannot_be_deleted_is_refused_in_a_sentence(
    words: list[str], says: str, base: Path, rows: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    went_well("train", base, "--data", rows, "--out", store, *PARTS)
    failed("delete", store, *words, says=says)
    failed("plan", store, *words, says=says)


def test_a_head_is_trained_and_deleted_from(base: Path, tmp_path: Path) -> None:
    file, store = tmp_path / "labelled.jsonl", tmp_path / "store"
    lines = [
        {"id": r.id, "prompt": r.prompt, "answer": r.answer, "label": n % 2, "subject": f"s{n // 2}"}
        for n, r in enumerate(worlds.RECORDS)
    ]
    lines.append({**lines[2], "id": "copy", "prompt": "In other words?", "subject": "", "derived_from": lines[2]["id"]})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    train = ("train", base, "--data", file, "--out", store)
    failed(*train, "--learner", "sisa", says="does not learn a head from labelled rows")
    failed(*train, "--learner", "nosuch", says="nosuch")
    failed(*train, "penalty=2", says="name it with --learner")
    failed(*train, "penalty", "--learner", "ridge", says="written OPTION=VALUE")
    failed(*train, "penalty=-1", "--learner", "ridge", says="penalty")
    assert not store.exists()
    assert "13 records; a head by ridge" in said(*train, "penalty=0.5", "--learner", "ridge")
    assert "13 records in a head by ridge; 0 open requests" in said("plan", store)
    assert "2 records, 0 duplicates and 1 derived rows of 13" in said("plan", store, "--subject", "s1")
    failed("delete", store, "--subject", "s1", "--at-once", says="leave --audit and --at-once out")
    failed("delete", store, "--subject", "s1", "--audit", tmp_path / "audits", says="leave --audit and --at-once out")
    told = said("delete", store, "--subject", "s1", "--exclusion", tmp_path / "gone.json")
    assert "request R000001: 3 records, 0 of them as duplicates, 1 as derived" in told
    assert "(exact, retrain-equal)" in told
    assert (tmp_path / "gone.json").is_file()
    words = (
        "verify",
        store / "certificates" / "R000001.json",
        "--key",
        store / "issuer" / "key.pem.pub",
        "--store",
        store,
    )
    assert "claim: The ridge head, with the sums that it is solved from, equals, bit for bit" in said(*words)
    failed(*words, "--rebuild", says="names no stage of training")


def test_a_head_needs_labels(base: Path, rows: Path, tmp_path: Path) -> None:
    failed("train", base, "--data", rows, "--out", tmp_path / "store", "--learner", "ridge", says="labelled records")
    assert not (tmp_path / "store").exists()


def test_what_cannot_be_trained_is_refused(base: Path, rows: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for words, says in (
        (["--shards", 0], "shards of a plan must be at least 1"),
        (["--slices", 1, "--risks", 2], "2 classes of risk need as many slices"),
        (["--tune", "some"], "choose tune lora or full"),
        (["--lr", 0], "must be above 0"),
        (["--executor", "some"], "choose inline, processes, ray"),
        (["--executor", "processes", "--workers", 0], "--workers must be at least 1"),
    ):
        failed("train", base, "--data", rows, "--out", store, *words, says=says)
        assert not store.exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    failed("train", base, "--data", rows, "--out", tmp_path / "full", says="this folder is not empty")
    failed("delete", tmp_path / "full", "--ids", "a", says="there is no store")
