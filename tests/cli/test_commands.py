"""What each command does when all is well, from the words on the command line to the files on the disk."""

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from driven import QUICK, run, went_well
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from unteach.audit.benchmarks import town
from unteach.data import read
from unteach.edit.release import read_edit
from unteach.lm.fresh import Size
from unteach.lm.load import load, quiet
from unteach.report import from_json
from unteach.schema import Record

TEMPLATE = "[INST] {prompt} [/INST]{answer}"


def bytes_under(folder: Path) -> bytes:
    return b"\0".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def forms(text: str, tokens: Sequence[int]) -> Iterator[bytes]:
    """A text as it could lie in a file: itself, escaped, in base64 at every alignment, as token ids."""
    raw = text.encode()
    yield raw
    yield json.dumps(text)[1:-1].encode()
    for shift in range(3):
        yield base64.b64encode(raw[shift : shift + (len(raw) - shift) // 3 * 3])
    for kind in (np.int32, np.int64):
        yield np.asarray(tokens, dtype=kind).tobytes()
    yield ", ".join(map(str, tokens)).encode()


def blocks(tensor: torch.Tensor) -> Iterator[bytes]:
    """Some parts of a tensor's bytes, each long enough to be told from chance."""
    raw = tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    for at in (0, len(raw) // 2, len(raw) - 256):
        yield raw[at : at + 256]


def found_in(folder: Path, records: Sequence[Record], original: Any, changed: Sequence[str]) -> list[str]:
    """Which record texts and which original tensors can be found in the files of a folder."""
    content, found = bytes_under(folder), []
    for record in records:
        for text in filter(None, (record.prompt, record.answer)):
            tokens = original.tokenizer(text, add_special_tokens=False)["input_ids"]
            found += [f"{record.id}: {form[:20]!r}" for form in forms(text, tokens) if form in content]
    weights = original.parameters()
    return found + [name for name in changed if any(block in content for block in blocks(weights[name]))]


@pytest.fixture(scope="session")
def tales(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Beginnings of stories as rows of text."""
    whole = (shared / "data" / "tinystories" / "tinystories_sample.txt").read_text(encoding="utf-8")
    texts = [t.strip()[:300] for t in whole.split("<|endoftext|>") if t.strip()]
    folder = tmp_path_factory.mktemp("tales")
    parts = {"forget": texts[:4], "retain": texts[10:16]}
    for name, part in parts.items():
        lines = (json.dumps({"text": t}) + "\n" for t in part)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in parts}


def words_for(model: str, request: pytest.FixtureRequest, shared: Path) -> tuple[Path, Path, list[object]]:
    """A model made elsewhere, the records to forget, and the words for both."""
    if model == "stories":
        folder, files = request.getfixturevalue("stories"), request.getfixturevalue("tales")
        return folder, files["forget"], ["--forget", files["forget"], "--retain", files["retain"]]
    tofu = shared / "data" / "tofu"
    files = ["--forget", tofu / "forget01.json", "--retain", tofu / "retain99.json"]
    return shared / "golden" / "tiny_tofu_llama", tofu / "forget01.json", [*files, "--limit", 6, "--template", TEMPLATE]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("model", "form"), [("tiny_tofu_llama", "baked"), ("tiny_tofu_llama", "adapter"), ("stories", "baked")]
)
def test_forget_audit_undo_finalise_on_models_made_elsewhere(
    model: str, form: str, request: pytest.FixtureRequest, shared: Path, tmp_path: Path
) -> None:
    folder, forget, words = words_for(model, request, shared)
    out, original = tmp_path / "out", load(folder)
    ran = went_well("forget", folder, *words, "--out", out, "--method", "simnpo", "--release", form, *QUICK)
    assert re.search(r"^edited: [a-z -]+\. ", ran.out, re.MULTILINE)
    assert f"report:  {out / 'report.html'}" in ran.out

    edit, records = read_edit(out), read(forget, limit=6).records
    assert edit.base == original.digest()
    changed = sorted(edit.weights)
    assert found_in(out, records, original, changed) == []
    assert found_in(folder, (), original, changed) == changed  # the search finds what is there
    check_release(out / "release", folder, edit, original, form)

    ran = went_well("audit", out / "release", "--before", folder, *words, "--max-new", 8, "--out", tmp_path / "audit")
    report = from_json((tmp_path / "audit" / "report.json").read_text(encoding="utf-8"))
    assert {name: about["role"] for name, about in report.models.items()} == {
        "original": "original",
        "edited": "edited",
    }
    assert report.models["original"]["digest"] == original.digest()
    assert report.guarantee.kind == "none"
    assert falls(report, "forget")

    other = Path(shutil.copytree(out, tmp_path / "other"))
    assert went_well("undo", other).out == f"restored: {original.digest()}\n"
    if form == "baked":
        assert load(other / "release").digest() == original.digest()
    else:
        assert not (other / "release").exists()

    assert went_well("finalise", out).out == f"finalised: {out}\n"
    assert not (out / "private").exists()
    assert found_in(out, records, original, changed) == []
    assert original.digest() not in (out / "run.json").read_text()
    check_release(out / "release", folder, edit, original, form)


def check_release(release: Path, base: Path, edit: Any, original: Any, form: str) -> None:
    """Other programs read the same model from a release as an edit worn here."""
    with quiet():
        theirs = AutoModelForCausalLM.from_pretrained(release if form == "baked" else base, dtype=torch.float32)
        if form == "adapter":
            theirs = PeftModel.from_pretrained(theirs, release)
        tokenizer = AutoTokenizer.from_pretrained(release)
    ids = torch.tensor([tokenizer("Once upon a time there was a ball.")["input_ids"]])
    with torch.no_grad(), edit.on(original) as lm:
        torch.testing.assert_close(theirs(ids).logits, lm.model(ids).logits, rtol=1e-4, atol=1e-4)
        bare = load(base).model(ids).logits
        assert (lm.model(ids).logits - bare).abs().max() > 1e-2


def falls(report: Any, name: str) -> bool:
    """Whether the edited model gives the answers of a set a lower probability than the original does."""
    values = {r.model: r.score.value for r in report.scores if (r.set, r.score.name) == (name, "probability")}
    return bool(values["edited"] < values["original"])


def test_the_search_for_traces_finds_them(stories: Path, tmp_path: Path) -> None:
    text = 'One day, "Lily" found a needle\nin her room.'
    lm = load(stories)
    tokens = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    record = Record("lily", "", text)
    traces = (
        text.encode(),
        json.dumps({"a": text}).encode(),
        *(base64.b64encode(b"x" * lead + text.encode()) for lead in range(3)),
        np.asarray(tokens, dtype=np.int32).tobytes(),
        np.asarray([1, *tokens], dtype=np.int64).tobytes(),
        json.dumps([1, *tokens]).encode(),
    )
    for trace in traces:
        (tmp_path / "file").write_bytes(b"head" + trace + b"tail")
        assert found_in(tmp_path, [record], lm, ()), trace


class Here:
    """Stands for a pool of processes, and works in this one: what a test has changed here holds there too."""

    def __init__(self, *_: object, mp_context: object) -> None: ...

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[..., Path], *given: object, without_forgotten: bool) -> "Future[Path]":
        done: Future[Path] = Future()
        done.set_result(work(*given, without_forgotten=without_forgotten))
        return done


@pytest.mark.usefixtures("undrawn")
def test_the_demo_ends_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = import_module("unteach.demo")
    monkeypatch.setattr(demo, "Town", partial(town.Town, people=5, leaving=1, strangers=2))
    monkeypatch.setattr(demo, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(town, "COUNTRIES", town.COUNTRIES[:5])
    monkeypatch.setattr(demo, "SIZE", Size(vocabulary=500, hidden=32, layers=1, heads=2, inner=64, positions=64))
    monkeypatch.setattr(demo, "SCHOOL", replace(demo.SCHOOL, epochs=2))
    out = tmp_path / "demo"
    ran = went_well("demo", "--out", out)
    assert ran.out.endswith(f"report: {out / 'report.html'}\n")
    report = from_json((out / "report.json").read_text(encoding="utf-8"))
    roles = {"original": "original", "retrained": "retrained", "ga": "edited", "default": "edited"}
    assert {name: about["role"] for name, about in report.models.items()} == roles
    sets = {"forget": 5, "forget_paraphrased": 5, "retain": 20, "general": 5, "holdout": 10}
    assert {name: about["n"] for name, about in report.sets.items()} == sets
    accuracy = {(r.model, r.set) for r in report.scores if r.score.name == "accuracy" and r.score.value is not None}
    assert accuracy == {(m, s) for m in roles for s in sets}
    assert set(report.verdicts) == {"ga", "default"}
    assert len(read(out / "forget.jsonl").records) == 15
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert went_well("audit", out / "original", "--forget", out / "forget.jsonl", "--limit", 3, "--max-new", 4).out
    monkeypatch.setattr(demo, "_taught", interrupted)
    assert run("demo", "--out", out).code == 130, "a demonstration may be given again in its own place"


def interrupted(*_: object, without_forgotten: bool) -> None:
    assert without_forgotten is not None
    raise KeyboardInterrupt
