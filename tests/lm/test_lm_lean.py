"""Modules that do the same with less work, and are what they were afterwards."""

import pytest
import torch
from accelerate import cpu_offload

import families
import worlds
from unteach.lm.anatomy import FAMILIES, anatomy, blocks, trunk
from unteach.lm.forward import at_answers_only
from unteach.lm.lean import instead, norms
from unteach.lm.model import LM
from unteach.lm.packed import packs
from unteach.lm.trace import Start, watched

ROWS = worlds.RECORDS[:5]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def patient(request: pytest.FixtureRequest) -> LM:
    return families.family(request.param)


def test_norms_and_their_gradients(patient: LM) -> None:
    lean = norms(patient.model)
    assert bool(lean) == (patient.model.config.model_type in ("llama", "mistral", "qwen2", "qwen3", "phi3", "olmo2"))
    dice = torch.Generator().manual_seed(0)
    for norm, forward in lean:
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.5, generator=dice)
        x, back = (torch.randn(2, 7, len(norm.weight), generator=dice) for _ in range(2))
        wanted = x.requires_grad_(), norm.weight
        with instead(patient.model, [(norm, forward)]):
            ours = norm(x)
        theirs = norm(x)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        for a, b in zip(*(torch.autograd.grad(y, wanted, back) for y in (ours, theirs)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert not any("forward" in vars(norm) for norm, _ in lean)


def test_norms_in_double_precision_are_left_alone() -> None:
    assert norms(families.family("llama").model.double()) == []


def met(lm: LM, path: str) -> list[int]:
    """At how many places a module of the last block computes when logits are asked for; nobody else reads it."""
    seen: list[int] = []
    module = blocks(lm.model)[-1].get_submodule(path)
    whole = module.forward

    def forward(states: torch.Tensor) -> torch.Tensor:
        seen.append(states.shape[-2])
        found: torch.Tensor = whole(states)
        return found

    with instead(lm.model, [(module, forward)]):
        lm.logits(lm.batch(ROWS))
    return seen


def test_the_last_block_runs_behind_attention_where_answers_are_predicted(patient: LM) -> None:
    batch, where = patient.batch(ROWS), anatomy(patient.model)
    asking = len(batch.targets) if packs(patient.model) else batch.ids.shape[1]
    assert met(patient, where.attn_out) == met(patient, where.mlp_out.rpartition(".")[0]) == [asking]
    assert len(batch.targets) < len(batch.places)


def test_who_reads_the_last_block_sees_every_place(patient: LM) -> None:
    batch, path = patient.batch(ROWS), anatomy(patient.model).mlp_out
    entered = patient.inputs(batch, [f"{anatomy(patient.model).blocks}.{patient.layers - 1}.{path}"])[0]
    assert len(entered) == len(batch.places)
    hook = blocks(patient.model)[-1].get_submodule(path).register_forward_hook(lambda *_: None)
    with at_answers_only(patient.model, patient.layers - 1, batch):
        assert not any("forward" in vars(m) for m in trunk(patient.model).modules())
    hook.remove()


def test_what_transformers_leaves_behind_reads_nothing(llama: LM) -> None:
    """Once states were asked for, its hooks stay on every block."""
    batch = llama.batch(ROWS)
    llama.model(batch.ids, output_hidden_states=True)
    block = blocks(llama.model)[-1]
    assert block._forward_hooks
    assert not watched(block)
    hook = block.mlp.register_forward_hook(lambda *_: None)
    assert watched(block)
    hook.remove()


def test_a_change_inside_a_block_begins_there(patient: LM) -> None:
    """What the last map of its MLP says of what enters it, over the rest of the stream, is what the whole block gives."""
    batch = patient.batch(ROWS)
    begun = patient.enter(batch, Start(0, inside=True))
    if not packs(patient.model):
        assert begun is None
        return
    if not anatomy(patient.model).sums:
        return
    assert begun is not None
    ran: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in blocks(patient.model)[0].named_modules()
        if not list(module.children())
    ]
    run = patient.run(batch, enter=begun)
    ours = run.logits
    for hook in hooks:
        hook.remove()
    assert ran == [anatomy(patient.model).mlp_out]
    last = blocks(patient.model)[0].get_submodule(anatomy(patient.model).mlp_out).weight
    theirs = patient.run(batch).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.detach().abs().max()))
    a, b = (torch.autograd.grad(x.square().mean(), last)[0] for x in (ours, theirs))
    assert (a - b).norm() <= 1e-5 * b.norm()
    torch.testing.assert_close(run.hidden(0), patient.run(batch).hidden(0), rtol=1e-5, atol=1e-5)
    hook = blocks(patient.model)[0].register_forward_hook(lambda *_: None)
    assert patient.enter(batch, Start(0, inside=True)) is None  # somebody reads the block, which is the first
    hook.remove()


@torch.no_grad()
def test_weights_that_are_fetched_for_each_call_are_left_to_who_fetches_them() -> None:
    lm, offloaded = (families.family("llama", tie_word_embeddings=False) for _ in range(2))
    cpu_offload(offloaded.model)
    assert offloaded.model.lm_head.weight.is_meta
    batch = lm.batch(ROWS)
    found, expected = (one.run(batch) for one in (offloaded, lm))
    torch.testing.assert_close(found.token_logps, expected.token_logps, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.hidden(0), expected.hidden(0), rtol=1e-5, atol=1e-5)
