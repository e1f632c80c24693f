"""Edits on disk: what was saved is what is read, and everything else is refused in a sentence."""

import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import changes
import pytest
import torch
from parrot import Parrot

import worlds
from unteach import registry
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.edit.patches import AddOuter, Put
from unteach.edit.store import load, save
from unteach.lm.model import LM
from unteach.schema import Guarantee, InputError


@pytest.fixture(autouse=True)
def _parrot() -> Iterator[None]:
    registry.register("guard", "parrot")(Parrot)
    yield
    del registry._LIVE["guard", "parrot"]


def everything(lm: LM) -> Edit:
    """Patches of every kind, nested, with maps, a guard, a guarantee with numbers, and a history."""
    return Edit(
        lm.digest(),
        {**changes.on_weights(lm).weights, **changes.on_weights(lm, 9).scaled(0.5).weights},
        changes.on_activations(lm).activations,
        (Parrot("Orvena", "Sella"),),
        "a method, by ünïcode",
        Guarantee("certified", "linear", "No linear probe finds it.", {"bound": 0.25}),
        history=({"step": 0.0, "forget_probability": 0.5},),
    )


def test_what_is_saved_is_what_is_read(lm: LM, tmp_path: Path) -> None:
    chained = changes.low_rank(lm)
    with chained.on(lm):
        chained = chained.then(replace(changes.on_weights(lm, 40), made_by="b"))
    for i, edit in enumerate((everything(lm), chained, Edit(lm.digest()))):
        save(edit, tmp_path / str(i))
        found = load(tmp_path / str(i))
        assert found.digest() == edit.digest()
        assert replace(found).digest() == edit.digest()  # computed anew from what was read
        assert found.worn_digest == edit.worn_digest
        assert (found.made_by, found.guarantee, found.links, found.guards) == (
            edit.made_by, edit.guarantee, edit.links, edit.guards,
        )  # fmt: skip
        assert found.history == edit.history
        with torch.no_grad():
            batch = lm.batch(worlds.RECORDS[:3])
            with edit.on(lm):
                expected = lm.logits(batch), lm.generate(["What"], 4)
            with found.on(lm):
                assert torch.equal(lm.logits(batch), expected[0])
                assert lm.generate(["What"], 4) == expected[1]


def test_tensors_that_share_memory_are_saved_each(llama: LM, tmp_path: Path) -> None:
    vector = changes.drawn(64)
    paths = [f"model.layers.{i}" for i in range(3)]
    edit = Edit(llama.digest(), activations={p: (Shift(vector),) for p in paths})
    save(edit, tmp_path)
    assert load(tmp_path).digest() == edit.digest()


def test_an_edit_is_saved_over_itself(llama: LM, tmp_path: Path) -> None:
    save(changes.on_weights(llama), tmp_path)
    again = load(tmp_path)
    save(again, tmp_path)  # its tensors are mapped from the file that is replaced
    save(changes.low_rank(llama), tmp_path)
    assert load(tmp_path).digest() == changes.low_rank(llama).digest()
    assert replace(again).digest() == changes.on_weights(llama).digest()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edit.json", "edit.safetensors"]


def in_json(change: Callable[[dict], object]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def damage(folder: Path) -> None:
        described = json.loads((folder / "edit.json").read_text())
        change(described)
        (folder / "edit.json").write_text(json.dumps(described))

    return damage


def flipped(folder: Path) -> None:
    body = bytearray((folder / "edit.safetensors").read_bytes())
    body[-5] ^= 1
    (folder / "edit.safetensors").write_bytes(body)


def cut(folder: Path) -> None:
    (folder / "edit.safetensors").write_bytes((folder / "edit.safetensors").read_bytes()[:-1])


def first_patch(described: dict) -> dict:  # type: ignore[type-arg]
    found: dict = next(iter(described["weights"].values()))[0]  # type: ignore[type-arg]
    return found


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "bit flip": (flipped, "missing, or not the file its description names; copy"),
    "truncated": (cut, "missing, or not the file its description names; copy"),
    "no tensors": (lambda f: (f / "edit.safetensors").unlink(), "missing, or not the file its description names; copy"),
    "no description": (lambda f: (f / "edit.json").unlink(), "cannot be read; name the folder"),
    "half a description": (lambda f: (f / "edit.json").write_text('{"base"'), "not valid JSON; copy"),
    "not UTF-8": (lambda f: (f / "edit.json").write_bytes(b"\xff\xfe{}"), "not valid JSON; copy"),
    "very deep": (lambda f: (f / "edit.json").write_text("[" * 200_000), "not valid JSON; copy"),
    "a list": (lambda f: (f / "edit.json").write_text("[]"), "not an edit of format 1; read it"),
    "another format": (in_json(lambda d: d.update(format=2)), "not an edit of format 1; read it"),
    "unknown patch": (in_json(lambda d: first_patch(d).update(patch="Exec")), "a change of an unknown kind; read it"),
    "unknown guard": (in_json(lambda d: d["guards"][0].update(guard="parot")), "there is no guard 'parot'"),
    "unknown field": (in_json(lambda d: first_patch(d).update(extra=1.0)), "does not match its tensors; copy"),
    "field missing": (in_json(lambda d: d.pop("activations")), "not a description of an edit; copy"),
    "wrong type": (in_json(lambda d: d.update(weights=[1])), "not a description of an edit; copy"),
    "patch of no kind": (in_json(lambda d: d["weights"].update(x=["Put"])), "not a description of an edit; copy"),
    "no digest": (in_json(lambda d: d.pop("digest")), "not the one that was saved"),
    "another digest": (in_json(lambda d: d.update(digest="0" * 64)), "not the one that was saved"),
    "another base": (in_json(lambda d: d.update(base="0" * 64)), "not the one that was saved"),
    "another number": (in_json(lambda d: first_patch(d).update(scale=9.0)), "not the one that was saved"),
    "another promise": (in_json(lambda d: d["guarantee"].update(kind="exact")), "not the one that was saved"),
    "swapped tensors": (
        in_json(lambda d: first_patch(d).update(left=first_patch(d)["right"], right=first_patch(d)["left"])),
        "not the one that was saved|does not match its tensors",
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_damaged_is_refused_in_a_sentence(what: str, llama: LM, tmp_path: Path) -> None:
    edit = replace(
        changes.low_rank(llama), guards=(Parrot("a", "b"),), activations=changes.on_activations(llama).activations
    )
    save(edit, tmp_path)
    load(tmp_path)
    damage, sentence = DAMAGED[what]
    damage(tmp_path)
    with pytest.raises(InputError, match=sentence) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_chain_too_deep_to_follow_is_refused(llama: LM, tmp_path: Path) -> None:
    save(changes.low_rank(llama), tmp_path)
    text = (tmp_path / "edit.json").read_text()
    described = json.loads(text)
    described["weights"] = {"model.norm.weight": ["DEEP"]}
    deep = '{"patch": "Lerp", "alpha": 0.5, "chain": [' * 700 + "]}" * 700
    (tmp_path / "edit.json").write_text(json.dumps(described).replace('"DEEP"', deep))
    with pytest.raises(InputError, match=r"not valid JSON|not a description of an edit|not the one that was saved"):
        load(tmp_path)


def resident() -> float:
    """Megabytes of memory that this process holds, pages of mapped files included."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_tensors_stay_in_the_file_until_they_are_used(tmp_path: Path) -> None:
    rows = 50 * 2**20 // 4 // 1024
    made = Edit("0" * 64, {f"w{i}": (Put(torch.full((rows, 1024), float(i))),) for i in range(4)})  # 4 times 50 MB
    save(made, tmp_path)
    digest = made.digest()
    del made
    gc.collect()
    before = resident()
    edit = load(tmp_path)
    assert edit.digest() == digest
    assert edit.worn_digest
    assert resident() - before < 30
    total = sum(float(p.value.sum()) for chain in edit.weights.values() for p in chain if isinstance(p, Put))
    assert total == rows * 1024 * 6
    assert resident() - before > 190  # the measure does see what is read


def test_a_low_rank_edit_with_a_guarantee_without_numbers(llama: LM, tmp_path: Path) -> None:
    edit = replace(changes.low_rank(llama), guarantee=Guarantee("none"))
    save(edit, tmp_path)
    (term,) = load(tmp_path).weights[changes.places(llama)[0]]
    assert isinstance(term, AddOuter)
    assert term.scale == 3.0
