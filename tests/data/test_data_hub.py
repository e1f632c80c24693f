"""Parquet and the hub: read as a stream, nothing kept, and a sentence when they cannot be."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from unteach.data import hub, read
from unteach.data.hub import HubName, hub_name
from unteach.data.rows import Place
from unteach.schema import InputError

CANARY = "CANARY7391"
ROWS = [{"question": f"{CANARY} {i}", "answer": "A", "perturbed_answer": ["x", "y"], "n": i} for i in range(300)]


def test_names_of_the_hub_and_of_files() -> None:
    assert hub_name("locuslab/TOFU") == HubName("locuslab/TOFU")
    assert hub_name("locuslab/TOFU:forget10") == HubName("locuslab/TOFU", "forget10")
    assert hub_name("o/data-v1.5:c.d:train") == HubName("o/data-v1.5", "c.d", "train")
    for source in (
        "TOFU",
        "data/forget.jsonl",
        "data/forget.txt",
        "/data/forget",
        "../data/forget",
        "a/b/c",
        "a/b:c:d:e",
    ):
        assert hub_name(source) is None, source


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """A `datasets` whose `load_dataset` says what it was asked for and serves 300 rows in one or two splits."""
    calls: list[tuple[object, ...]] = []

    def load_dataset(path: str, name: str | None, *, split: str | None, streaming: bool) -> object:
        calls.append((path, name, split, streaming))
        if path == "o/gone":
            raise ConnectionError(f"{CANARY} cannot be resolved")
        if path == "o/breaks":
            return failing()
        return ROWS if split else {"train": ROWS} if path == "o/one" else {"unlearn": ROWS, "retention": ROWS}

    def failing() -> Iterator[object]:
        yield ROWS[0]
        raise RuntimeError(CANARY)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return calls


def test_the_hub_is_streamed(fake: list[tuple[object, ...]]) -> None:
    given = read(ROWS)
    assert read("o/one") == replace(given, source="o/one")
    assert read("o/two:privacy:unlearn") == replace(given, source="o/two:privacy:unlearn")
    assert (given.unit, given.lines[-1], given.notes) == ("row", 300, ("columns not used: n",))
    assert fake == [("o/one", None, None, True), ("o/two", "privacy", "unlearn", True)]
    assert len(read("o/one", limit=2).records) == 2


def test_what_the_hub_cannot_give_is_a_sentence(fake: list[tuple[object, ...]]) -> None:
    with pytest.raises(InputError, match=r"o/two:privacy: .* retention, unlearn; name one as o/two:privacy:SPLIT"):
        read("o/two:privacy")
    for source in ("o/gone", "o/breaks:config:split"):
        with pytest.raises(InputError, match=r"could be read from the hub \((Connection|Runtime)Error\)") as caught:
            read(source)
        assert CANARY not in str(caught.value)
        assert caught.value.__context__ is None
    assert fake


@pytest.mark.parametrize("module", ["datasets", "pyarrow.parquet"])
def test_without_the_extra(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    source = "o/one" if module == "datasets" else tmp_path / "a.parquet"
    with pytest.raises(InputError, match=r'pip install "unteach\[hub\]"'):
        read(source)


def test_a_local_path_shadows_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "one").write_text('{"text": "A"}')
    monkeypatch.chdir(tmp_path)
    assert read("o/one").records[0].answer == "A"


def test_datasets_itself_keeps_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "here" / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "cache"))
    streamed = list(hub.stream(HubName("owner/name"), Place("owner/name", "row")))
    assert streamed == list(enumerate(ROWS, 1))
    copies = [p for p in tmp_path.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
    assert copies == [folder / "train.jsonl"]
    assert read(datasets.Dataset.from_list(ROWS)).records == read(ROWS).records
    with pytest.raises(InputError, match="pass one of its splits"):
        read(datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}))


def test_parquet(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    found = read(path)
    assert found.records == read(ROWS).records
    assert (found.unit, found.lines[-1], found.notes) == ("row", 300, ("columns not used: n",))
    pq.write_table(pa.Table.from_arrays([pa.array(["Q"]), pa.array(["A"])], names=["text", "text"]), path)
    with pytest.raises(InputError, match="same name"):
        read(path)
    pq.write_table(pa.table({"text": [b"A"]}), path)
    with pytest.raises(InputError, match='row 1: "text" holds a value of another kind'):
        read(path)


def test_parquet_that_is_damaged(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS[:20]), path)
    whole = path.read_bytes()
    refused = []
    for at in range(4, len(whole), len(whole) // 40):
        for damaged in (whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :], whole[:at]):
            path.write_bytes(damaged)
            try:
                assert read(path).records
            except InputError as error:
                refused.append(error)
    assert len(refused) >= 40
    assert all(CANARY not in str(error) and error.__context__ is None for error in refused)
