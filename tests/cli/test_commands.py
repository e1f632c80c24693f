"""What each command does when all is well, from the words on the command line to the files on the disk."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import worlds
from driven import run, tree, went_well
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from unteach import cli, demo, machine, registry
from unteach.audit.benchmarks.town import Town
from unteach.data import read
from unteach.edit import train
from unteach.edit.release import read_edit
from unteach.lm.fresh import Size
from unteach.lm.load import load, quiet
from unteach.report import from_json
from unteach.schema import Record

QUICK = ("--epochs", 3, "--lr", "1e-3", "--accumulate", 1, "--batch-size", 4, "--rank", 4, "--max-new", 8)
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
    check_release(out / "release", folder, edit, original, form)

    ran = went_well("audit", out / "release", "--before", folder, *words, "--max-new", 8, "--out", tmp_path / "audit")
    report = from_json((tmp_path / "audit" / "report.json").read_text(encoding="utf-8"))
    assert {name: about["role"] for name, about in report.models.items()} == {"original": "original", "edited": "edited"}
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
