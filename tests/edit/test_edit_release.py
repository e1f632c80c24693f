"""What a forgetting leaves on disk: it can be undone bit for bit until it is finalised, and not a byte longer."""

import json
from dataclasses import replace
from pathlib import Path

import changes
import pytest
import torch

import worlds
from unteach.edit.edit import Edit
from unteach.edit.learn import learn
from unteach.edit.patches import Put
from unteach.edit.plan import Plan
from unteach.edit.release import Form, finalise, read_edit, read_run, release, undo
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import InputError

SECRET = worlds.RECORDS[0].answer
FULL = Plan(tune="full", epochs=1, lr=1e-3, batch_size=4, accumulate=1)
LORA = Plan(rank=2, epochs=1, lr=1e-3, batch_size=4, accumulate=1)
SETTINGS = {"method": "taught", "request": "r-17"}


def taught(lm: LM, plan: Plan) -> Edit:
    """A trained edit that says in its history of making what must not be found later."""
    return replace(learn(lm, worlds.FORGET, plan), made_by=f"taught: {SECRET}")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def windows(lm: LM) -> list[bytes]:
    """Pieces of every matrix of the original: 16 weights in a row."""
    found = []
    for tensor in lm.parameters().values():
        if tensor.ndim > 1:
            raw = tensor.detach().numpy().tobytes()
            found += [raw[i : i + 64] for i in range(0, len(raw) - 64, 4096)]
    return found


def clear(folder: Path, lm: LM) -> dict[str, list[str]]:
    """What of the original and of the records can be read in each file of a folder."""
    pieces = [*windows(lm), SECRET.encode(), SECRET.encode("utf-16-le"), worlds.RECORDS[0].prompt.encode()]
    found = {name: [p[:8].hex() for p in pieces if p in body] for name, body in files(folder).items()}
    return {name: hits for name, hits in found.items() if hits}


def test_undo_gives_the_original_back_bit_for_bit(lm: LM, tmp_path: Path) -> None:
    before, edit = worlds.state(lm), taught(lm, FULL)
    release(edit, lm, tmp_path, about=SETTINGS)
    assert worlds.state(lm) == before
    run = read_run(tmp_path)
    assert {k: run[k] for k in ("state", "form", "base", "edit", "method")} == {
        "state": "released", "form": "baked", "base": lm.digest(), "edit": edit.digest(), "method": "taught",
    }  # fmt: skip
    assert load(tmp_path / "release").digest() == run["release"] != lm.digest()
    assert read_edit(tmp_path).digest() == edit.digest()
    assert undo(tmp_path) == lm.digest()
    again, batch = load(tmp_path / "release"), lm.batch(worlds.RECORDS[:4])
    assert again.digest() == lm.digest() == read_run(tmp_path)["release"]
    assert torch.equal(again.logits(batch), lm.logits(batch))
    with pytest.raises(InputError, match="it was undone before; the release holds the original"):
        undo(tmp_path)


@pytest.mark.parametrize("form", ["baked", "edit"])
def test_an_edit_that_is_not_finite_is_not_released(lm: LM, tmp_path: Path, form: Form) -> None:
    first, _, _ = changes.places(lm)
    edit = changes.on_weights(lm)
    spoilt = torch.zeros_like(lm.parameters()[first])
    spoilt[0, 0] = float("inf")
    with pytest.raises(InputError, match=r"the edit is not finite in '.*'; nothing was released"):
        release(replace(edit, weights={**edit.weights, first: (Put(spoilt),)}), lm, tmp_path, form=form)
    assert files(tmp_path) == {}


def test_before_it_is_finalised_nothing_stands_in_clear_in_private(lm: LM, tmp_path: Path) -> None:
    release(taught(lm, FULL), lm, tmp_path, about=SETTINGS)
    assert sorted(files(tmp_path / "private")) == ["key", "sealed"]
    assert clear(tmp_path, lm) == {}
    changed = load(tmp_path / "release")
    assert clear(tmp_path, changed).keys() == {"release/model.safetensors"}  # the search does find what is there
    assert not any(p in (tmp_path / "private" / "sealed").read_bytes() for p in windows(changed))  # nor the edit's


def test_after_it_is_finalised_nothing_is_left(lm: LM, tmp_path: Path) -> None:
    edit = taught(lm, FULL)
    release(edit, lm, tmp_path, about=SETTINGS)
    digest = read_run(tmp_path)["release"]
    finalise(tmp_path)
    assert clear(tmp_path, lm) == {}
    assert not (tmp_path / "private").exists()
    assert list(tmp_path.rglob(".*")) == []
    assert read_run(tmp_path) == {"state": "final", "form": "baked", "release": digest, "method": "taught"}
    for told in (edit.digest(), lm.digest(), "r-17"):
        assert not any(told.encode() in body for body in files(tmp_path).values())
    assert load(tmp_path / "release").digest() == digest
    for act in (undo, read_edit):
        with pytest.raises(InputError, match=r"its private part is gone .*; undo is no longer possible"):
            act(tmp_path)
    with pytest.raises(InputError, match="it was finalised before"):
        finalise(tmp_path)


def test_what_was_undone_can_be_finalised(llama: LM, tmp_path: Path) -> None:
    release(taught(llama, FULL), llama, tmp_path)
    undo(tmp_path)
    finalise(tmp_path)
    assert load(tmp_path / "release").digest() == llama.digest()


def test_an_edit_of_few_weights_seals_those_only(lm: LM, tmp_path: Path) -> None:
    edit = changes.on_weights(lm)
    release(edit, lm, tmp_path)
    assert (tmp_path / "private" / "sealed").stat().st_size < 3 * sum(
        lm.parameters()[n].numel() * 4 for n in edit.weights
    )
    assert undo(tmp_path) == lm.digest()


def test_a_users_adapter_is_merged_and_undo_gives_the_merged_model_back(lm: LM, tmp_path: Path) -> None:
    base = worlds.saved(lm, tmp_path / "base")
    adapted = load(worlds.adapter(base, tmp_path / "user"))
    release(taught(adapted, LORA), adapted, tmp_path / "out")
    digest, batch = undo(tmp_path / "out"), lm.batch(worlds.RECORDS[:4])
    found = load(tmp_path / "out" / "release")
    assert found.digest() == digest
    torch.testing.assert_close(found.logits(batch), adapted.logits(batch), rtol=1e-4, atol=1e-4)


def test_a_model_in_half_precision_is_undone_in_half_precision(lm: LM, tmp_path: Path) -> None:
    half = load(worlds.saved(lm, tmp_path / "base"), dtype="bfloat16")
    release(changes.on_weights(half), half, tmp_path / "out")
    assert undo(tmp_path / "out") == half.digest()
    assert load(tmp_path / "out" / "release", dtype="bfloat16").digest() == half.digest()


def test_an_adapter_is_released_alone_and_undo_removes_it(lm: LM, tmp_path: Path) -> None:
    base = load(worlds.saved(lm, tmp_path / "base"))
    edit = taught(base, LORA)
    release(edit, base, tmp_path / "out", form="adapter")
    found, batch = load(tmp_path / "out" / "release"), lm.batch(worlds.RECORDS[:4])
    with edit.on(base):
        torch.testing.assert_close(found.logits(batch), base.logits(batch), rtol=1e-5, atol=1e-5)
    assert clear(tmp_path / "out", lm) == {}
    assert undo(tmp_path / "out") == lm.digest()
    assert not (tmp_path / "out" / "release").exists()
    assert load(tmp_path / "base").digest() == lm.digest()


def test_a_release_that_was_changed_is_not_undone(llama: LM, tmp_path: Path) -> None:
    release(changes.on_weights(llama), llama, tmp_path)
    (tmp_path / "release" / "model.safetensors").write_bytes(
        (worlds.saved(worlds.llama(seed=1), tmp_path / "other") / "model.safetensors").read_bytes()
    )
    kept = files(tmp_path / "release")
    with pytest.raises(InputError, match="release: changed since it was written; the original cannot be restored"):
        undo(tmp_path)
    assert files(tmp_path / "release") == kept
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert read_run(tmp_path)["state"] == "released"


@pytest.mark.parametrize("damage", ["flipped byte", "another key", "no key", "cut"])
def test_a_private_part_that_is_damaged_is_refused(damage: str, llama: LM, tmp_path: Path) -> None:
    release(changes.low_rank(llama), llama, tmp_path)
    private, kept = tmp_path / "private", files(tmp_path / "release")
    body = bytearray((private / "sealed").read_bytes())
    if damage == "flipped byte":
        body[len(body) // 2] ^= 4
    (private / "sealed").write_bytes(body[:-9] if damage == "cut" else body)
    if damage == "another key":
        (private / "key").write_bytes(b"\1" * 32)
    if damage == "no key":
        (private / "key").unlink()
    with pytest.raises(InputError, match=r"undo is no longer possible|put back a whole copy"):
        undo(tmp_path)
    assert files(tmp_path / "release") == kept


def test_a_second_release_takes_the_place_of_the_first(llama: LM, tmp_path: Path) -> None:
    release(changes.on_weights(llama), llama, tmp_path)
    key = (tmp_path / "private" / "key").read_bytes()
    release(changes.low_rank(llama), llama, tmp_path)
    assert (tmp_path / "private" / "key").read_bytes() != key
    assert read_edit(tmp_path).digest() == changes.low_rank(llama).digest()
    assert undo(tmp_path) == llama.digest()


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "[" * 100_000])
def test_a_folder_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    if text:
        (tmp_path / "run.json").write_text(text)
    for act in (undo, finalise):
        with pytest.raises(InputError, match=r"no readable run.json; name the folder given to"):
            act(tmp_path)


def test_run_json_repeats_no_record(llama: LM, tmp_path: Path) -> None:
    release(taught(llama, LORA), llama, tmp_path, about=SETTINGS)
    assert SECRET not in json.dumps(read_run(tmp_path))
