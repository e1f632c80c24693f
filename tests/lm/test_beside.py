"""A second model that reads along says what it would say of the whole."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import worlds
from unteach.lm.beside import Beside, alike, opened
from unteach.lm.fresh import fresh
from unteach.lm.model import LM
from unteach.schema import InputError


def whole(lm: LM, ids: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = lm.model(input_ids=ids[None], use_cache=False).logits[0, -1]
    return found


def test_what_reads_along_says_what_it_would_say_of_the_whole_and_reads_no_token_twice(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.tensor(lm.encoder.prompt(worlds.RECORDS[0].prompt) + list(range(40, 46)))
    other = torch.tensor(lm.encoder.prompt(worlds.RECORDS[1].prompt))
    beside, asked, forward = Beside(lm), list[int](), lm.model.forward

    def counted(*, input_ids: Tensor, **others: object) -> object:
        asked.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **others)

    for n in (9, 10, 12, len(ids)):
        monkeypatch.setattr(lm.model, "forward", counted)
        said = beside.after(ids[:n])
        monkeypatch.undo()
        torch.testing.assert_close(said, whole(lm, ids[:n]), atol=1e-5, rtol=1e-5)
    assert asked == [9, 1, 2, len(ids) - 12]
    for begun in (ids[:7], other, other):  # shorter, another beginning, the same again: read anew
        torch.testing.assert_close(beside.after(begun), whole(lm, begun), atol=1e-5, rtol=1e-5)
    beside.forget()
    assert beside.cache is None


def test_what_cannot_stand_beside_is_refused(llama: LM, tmp_path: Path) -> None:
    folder = str(worlds.saved(llama, tmp_path / "one"))
    assert opened(folder, llama.digest()).digest() == llama.digest()
    with pytest.raises(InputError, match="not the model that the edit was made with"):
        opened(folder, "0" * 64)
    assert alike(llama, worlds.llama(1), folder)
    with pytest.raises(InputError, match="another tokenizer"):
        alike(llama, fresh(("Quite other words.",), worlds.SIZE), folder)
