"""One edit taken out of several runs: bit for bit where no later edit wrote into its weights, refused where one did."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from unteach.edit.edit import Edit
from unteach.edit.patches import AddOuter, Patch, Put
from unteach.edit.release import finalise, read_run, release, undo
from unteach.edit.takeout import take_out
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import InputError


def changed(lm: LM, name: str, seed: int, *, put: bool) -> Edit:
    dice = torch.Generator().manual_seed(seed)
    rows, columns = lm.parameters()[name].shape
    value = torch.randn(rows, columns, generator=dice)
    outer = AddOuter(torch.randn(rows, 2, generator=dice), torch.randn(2, columns, generator=dice))
    patch: Patch = Put(value) if put else outer
    return Edit(base=lm.digest(), weights={name: (patch,)})


def runs(lm: LM, place: Path, names: Sequence[str], *, put: bool) -> list[Path]:
    """One run after another, each on what the one before released."""
    found = []
    for number, name in enumerate(names):
        found.append(place / str(number))
        release(changed(lm, name, number, put=put), lm, found[-1])
        lm = load(found[-1] / "release")
    return found


@pytest.fixture
def places(lm: LM) -> tuple[str, str, str]:
    """Three matrices of the blocks."""
    first, second, third, *_ = [n for n, p in lm.parameters().items() if p.ndim == 2 and ".0." in n]
    return first, second, third


@pytest.mark.parametrize("put", [True, False])
@pytest.mark.parametrize("out", [0, 1])
def test_an_edit_of_weights_that_no_later_one_touched_is_taken_out_bit_for_bit(
    lm: LM, places: tuple[str, str, str], tmp_path: Path, out: int, put: bool
) -> None:
    all_three = runs(lm, tmp_path / "all", places, put=put)
    digest = take_out(all_three[-1], all_three[out])
    left = load(all_three[-1] / "release")
    others = [n for n in range(3) if n != out]
    for n, name in enumerate(places):
        edit = changed(lm, name, n, put=put)
        was = lm.parameters()[name].detach()
        expected = was + edit.delta(lm)[name] if n in others else was
        torch.testing.assert_close(left.parameters()[name].detach(), expected, rtol=0 if n == out else 1e-5, atol=1e-6)
        assert n != out or torch.equal(left.parameters()[name], was)
    assert digest == left.digest() == read_run(all_three[-1])["release"]
    with pytest.raises(InputError, match="an earlier edit was taken out of it"):
        undo(all_three[-1])


@pytest.mark.parametrize("put", [True, False])
def test_of_two_edits_of_one_weight_only_the_last_can_be_taken_back(
    lm: LM, places: tuple[str, str, str], tmp_path: Path, put: bool
) -> None:
    first, second = runs(lm, tmp_path, (places[0], places[0]), put=put)
    before = load(second / "release").digest()
    with pytest.raises(InputError, match=r"later edits wrote into 1 of 1 weights .* undo the later edits first"):
        take_out(second, first)
    assert load(second / "release").digest() == before
    assert take_out(second, second) == load(first / "release").digest()
    with pytest.raises(InputError, match="it was undone before"):
        take_out(second, first)


def test_what_was_finalised_or_altered_cannot_be_taken_out(
    lm: LM, places: tuple[str, str, str], tmp_path: Path
) -> None:
    first, second = runs(lm, tmp_path, places[:2], put=True)
    other = load(second / "release")
    with torch.no_grad():
        other.parameters()[places[2]].mul_(2)
    other.model.save_pretrained(second / "release")
    with pytest.raises(InputError, match="changed since it was written"):
        take_out(second, first)
    finalise(first)
    with pytest.raises(InputError, match="its private part is gone"):
        take_out(second, first)
