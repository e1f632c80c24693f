"""Every supported family: the parts are where the anatomy says, and what is computed there is the model's own."""

import pytest
import torch

import families
import worlds
from unteach.lm.anatomy import FAMILIES, anatomy, blocks, head, stored_in_out
from unteach.lm.batch import collate
from unteach.lm.forward import at_answers
from unteach.lm.load import quiet
from unteach.lm.model import LM
from unteach.schema import InputError

PROMPTS = [
    "What",
    *(r.prompt for r in worlds.RECORDS[:3]),
    "Which of the towns has a clock that runs backwards, and why?",
]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def patient(request: pytest.FixtureRequest) -> LM:
    return families.family(request.param)


def test_every_family_of_the_anatomy_is_tested() -> None:
    assert set(families.OWN) == set(FAMILIES)


def test_the_parts_are_where_the_anatomy_says(patient: LM) -> None:
    place = anatomy(patient.model)
    seen: list[str] = []
    hooks = [
        patient.model.get_submodule(path).register_forward_hook(lambda *_, path=path: seen.append(path))
        for layer in range(patient.layers)
        for half in (place.attn_out, place.mlp_out)
        for path in [f"{place.blocks}.{layer}.{half}"]
    ]
    hooks += [
        patient.model.get_submodule(p).register_forward_hook(lambda *_, p=p: seen.append(p))
        for p in (place.trunk, place.norm)
    ]
    patient.logits(patient.batch(worlds.RECORDS[:1]))
    for hook in hooks:
        hook.remove()
    halves = [f"{place.blocks}.{i}.{half}" for i in range(patient.layers) for half in (place.attn_out, place.mlp_out)]
    assert seen == [*halves, place.norm, place.trunk]  # in this order, once each
    linear = patient.model.get_submodule(f"{place.blocks}.0.{place.mlp_out}")
    inner, hidden = (48 if patient.model.config.model_type not in ("gpt2", "gptj") else 128), 32
    assert tuple(linear.weight.shape) == ((inner, hidden) if stored_in_out(linear) else (hidden, inner))
    assert len(blocks(patient.model)) == 2


@torch.no_grad()
def test_the_logits_are_the_models_own(patient: LM) -> None:
    batch = patient.batch(worlds.RECORDS[:5])
    full = patient.model(input_ids=batch.ids, attention_mask=batch.real.long()).logits
    torch.testing.assert_close(patient.logits(batch), at_answers(full, batch), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_head_includes_caps_and_scalings(patient: LM) -> None:
    ids = patient.batch(worlds.RECORDS[:1]).ids
    states = patient.model.get_submodule(anatomy(patient.model).trunk)(input_ids=ids).last_hidden_state[0]
    torch.testing.assert_close(head(patient.model, states), patient.model(input_ids=ids).logits[0], rtol=0, atol=1e-6)


def test_the_soft_cap_of_gemma_2_bites() -> None:
    capped = families.family("gemma2")
    batch = capped.batch(worlds.RECORDS[:3])
    found = capped.logits(batch)
    capped.model.config.final_logit_softcapping = None
    assert found.abs().max() <= 2.0 < capped.logits(batch).abs().max()


@torch.no_grad()
def test_padding_changes_nothing(patient: LM) -> None:
    rows = [patient.encoder.row(r) for r in worlds.RECORDS[:4]]
    ids = [r.id for r in worlds.RECORDS[:4]]
    together = patient.logits(collate(rows, ids, pad=patient.pad, device=patient.device))
    alone = torch.cat(
        [
            patient.logits(collate([r], [i], pad=patient.pad, device=patient.device))
            for r, i in zip(rows, ids, strict=True)
        ]
    )
    assert len({len(r.ids) for r in rows}) > 1
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6 * float(alone.abs().max()))
    other = collate(rows, ids, pad=7, device=patient.device)
    torch.testing.assert_close(patient.logits(other), together, rtol=0, atol=0)


@torch.no_grad()
def test_generation_is_greedy_generation(patient: LM) -> None:
    assert patient.generate(PROMPTS, 12) == greedily(patient, PROMPTS, 12)


def greedily(lm: LM, prompts: list[str], new: int) -> list[str]:
    """The library's own greedy search."""
    ids = [lm.encoder.prompt(p) for p in prompts]
    width = max(map(len, ids))
    padded = torch.tensor([[lm.pad] * (width - len(i)) + i for i in ids])
    real = torch.tensor([[0] * (width - len(i)) + [1] * len(i) for i in ids])
    with quiet():
        found = lm.model.generate(
            input_ids=padded, attention_mask=real, max_new_tokens=new, do_sample=False,
            eos_token_id=list(lm.encoder.stops), pad_token_id=lm.pad,
        )  # fmt: skip
    return lm.tokenizer.batch_decode(found[:, width:], skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_generation_of_rows_that_end_at_different_times(lm: LM) -> None:
    found = lm.generate(PROMPTS, 24)
    assert found == greedily(lm, PROMPTS, 24)
    assert [a.strip() for a in found[1:4]] == [r.answer for r in worlds.RECORDS[:3]]
    assert lm.generate(PROMPTS[::-1], 24) == found[::-1]


def test_an_empty_prompt_is_answered(lm: LM) -> None:
    assert lm.generate([""], 3) == greedily(lm, [""], 3)


def test_an_unknown_family_is_refused(llama: LM) -> None:
    class Stranger(torch.nn.Module):
        config = type("Config", (), {"model_type": "rwkv9"})()

    with pytest.raises(InputError, match="models of type 'rwkv9' are not supported; supported are gemma2"):
        LM(Stranger(), llama.tokenizer)
