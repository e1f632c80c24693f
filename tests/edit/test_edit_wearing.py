"""An edit acts inside its block and is gone after it, bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread

import changes
import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.edit.maps import Affine, Shift
from unteach.edit.patches import Add, AddOuter, Put, Scale, through
from unteach.lm.anatomy import anatomy, stored_in_out
from unteach.lm.model import LM
from unteach.schema import InputError

KINDS: dict[str, Callable[[LM], Edit]] = {
    "weights": changes.on_weights,
    "low rank": changes.low_rank,
    "activations": changes.on_activations,
}
PROMPTS = [r.prompt for r in worlds.RECORDS[:4]]


def logits(lm: LM) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS[:6]))


@pytest.mark.parametrize("kind", KINDS)
def test_it_acts_and_comes_off_bit_for_bit(lm: LM, kind: str) -> None:
    edit, before, plain, replies = KINDS[kind](lm), worlds.state(lm), logits(lm), lm.generate(PROMPTS, 6)
    with edit.on(lm) as worn:
        assert worn is lm
        assert lm.digest() == edit.worn_digest != edit.base
        acted = logits(lm)
        assert (acted - plain).abs().max() > 0.01
        assert lm.generate(PROMPTS, 6) != replies
    assert worlds.state(lm) == before
    assert torch.equal(logits(lm), plain)
    with edit.on(lm):
        assert torch.equal(logits(lm), acted)


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_off_after_an_exception(lm: LM, kind: str) -> None:
    edit, before = KINDS[kind](lm), worlds.state(lm)
    with pytest.raises(ZeroDivisionError), edit.on(lm):
        raise ZeroDivisionError
    assert worlds.state(lm) == before
    path = f"{anatomy(lm.model).blocks}.0"
    with pytest.raises(ZeroDivisionError), edit.on(lm), lm.tap(path, lambda _h, _site: 1 / 0):  # type: ignore[arg-type,return-value]
        lm.generate(PROMPTS, 2)
    assert worlds.state(lm) == before


def test_it_comes_off_where_it_cannot_be_put_on(lm: LM) -> None:
    before, edit = worlds.state(lm), changes.on_weights(lm)
    unknown = replace(edit, weights={**edit.weights, "model.nowhere.weight": (Add(torch.zeros(1)),)})
    with (
        pytest.raises(InputError, match=r"no weight 'model.nowhere.weight' that this edit changes; load the model"),
        unknown.on(lm),
    ):
        pass
    tied = changes.places(lm)[2]
    lying = replace(edit, weights={**edit.weights, tied: (changes.outer(lm.parameters()[tied], 0),)})
    with (
        pytest.raises(InputError, match=f"'{tied}' is of no linear map, over which a low-rank term could lie; use Add"),
        lying.on(lm),
    ):
        pass
    assert worlds.state(lm) == before


def test_another_model_is_refused(lm: LM) -> None:
    edit = changes.on_weights(lm)
    other = worlds.llama(seed=1)
    for refused in (edit.on(other), replace(edit, base="0" * 64).on(lm)):
        with pytest.raises(InputError, match="made on another model"), refused:
            pass
    assert other.lock.acquire(blocking=False)  # the refusal gave the model back


def test_the_same_edit_is_not_worn_twice(lm: LM) -> None:
    before = worlds.state(lm)
    for make in KINDS.values():
        edit = make(lm)
        with edit.on(lm):
            with pytest.raises(InputError, match="made on another model"), edit.on(lm):
                pass
            assert lm.digest() == edit.worn_digest
    assert worlds.state(lm) == before


def test_another_thread_is_refused(lm: LM) -> None:
    edit, refusals = changes.on_weights(lm), []

    def wear() -> None:
        try:
            with edit.on(lm):
                refusals.append("worn")
        except InputError as refused:
            refusals.append(str(refused))

    with edit.on(lm):
        thread = Thread(target=wear)
        thread.start()
        thread.join()
    assert refusals == ["the model is in use by another thread; wait until it has taken its edit off"]
    thread = Thread(target=wear)
    thread.start()
    thread.join()
    assert refusals[1:] == ["worn"]


def test_weights_are_what_their_chains_say(lm: LM) -> None:
    edit = changes.on_weights(lm)
    expected = {n: through(chain, lm.parameters()[n].detach()) for n, chain in edit.weights.items()}
    found = logits_with(lm, expected)
    with edit.on(lm):
        torch.testing.assert_close(logits(lm), found, rtol=1e-5, atol=1e-5)


def logits_with(lm: LM, weights: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS[:6]), weights)


def test_a_low_rank_term_is_worn_without_being_multiplied_out(lm: LM) -> None:
    edit = changes.low_rank(lm)
    kept = {n: lm.parameters()[n].data_ptr() for n in edit.weights}
    assert stored_in_out(lm.model.get_submodule(changes.places(lm)[0].removesuffix(".weight"))) == (
        lm.model.config.model_type == "gpt2"
    )
    expected = logits_with(lm, {n: through(c, lm.parameters()[n].detach()) for n, c in edit.weights.items()})
    with edit.on(lm):
        assert {n: lm.parameters()[n].data_ptr() for n in edit.weights} == kept
        torch.testing.assert_close(logits(lm), expected, rtol=1e-5, atol=1e-5)


def test_tied_embeddings_change_at_both_ends(lm: LM) -> None:
    tied = changes.places(lm)[2]
    with Edit(lm.digest(), {tied: (Scale(torch.tensor(0.0)),)}).on(lm):
        assert lm.model.get_input_embeddings().weight.abs().max() == 0
        assert lm.model.get_output_embeddings().weight.abs().max() == 0
        assert logits(lm).abs().max() == 0


def test_a_put_shares_its_memory_with_the_model_that_wears_it(lm: LM) -> None:
    name = changes.places(lm)[1]
    value = torch.zeros_like(lm.parameters()[name])
    with Edit(lm.digest(), {name: (Put(value),)}).on(lm):
        assert lm.parameters()[name].data_ptr() == value.data_ptr()  # which may be mapped from a file


def test_a_shift_moves_every_real_position_and_no_other(lm: LM) -> None:
    width, path = lm.model.config.hidden_size, f"{anatomy(lm.model).blocks}.{lm.layers - 1}"
    vector = changes.drawn(width)
    batch, seen = lm.batch(worlds.RECORDS[:4]), []
    with torch.no_grad():
        with lm.tap(path, lambda h, _site: seen.append(h)):
            lm.logits(batch)
        with (
            Edit(lm.digest(), activations={path: (Shift(vector),)}).on(lm),
            lm.tap(path, lambda h, _site: seen.append(h)),
        ):
            lm.logits(batch)
    moved = seen[1] - seen[0]
    torch.testing.assert_close(moved, batch.real[..., None] * vector, rtol=0, atol=1e-5)
    assert not batch.real.all()


def test_an_affine_map_projects_about_its_center(lm: LM) -> None:
    width, path = lm.model.config.hidden_size, f"{anatomy(lm.model).blocks}.0"
    center = changes.drawn(width)
    axis = torch.nn.functional.normalize(changes.drawn(width, seed=9), dim=0)
    erase = Affine(torch.eye(width) - torch.outer(axis, axis), center)
    edit, batch = Edit(lm.digest(), activations={path: (erase,)}), lm.batch(worlds.RECORDS[:4])
    with torch.no_grad(), edit.on(lm):
        states = lm.run(batch).hidden(0)
    torch.testing.assert_close((states - center) @ axis, torch.zeros(len(states)), rtol=0, atol=1e-5)
    with torch.no_grad():
        assert ((lm.run(batch).hidden(0) - center) @ axis).abs().max() > 0.1


def test_maps_act_while_decoding_as_they_do_in_a_whole_text(lm: LM) -> None:
    """Greedy answers under maps, step by step with a cache, against one forward pass over each whole text."""
    edit = changes.on_activations(lm)
    for act in (edit, changes.on_weights(lm)):
        with act.on(lm), torch.no_grad():
            for prompt, reply in zip(PROMPTS, lm.generate(PROMPTS, 8), strict=True):
                ids = lm.encoder.prompt(prompt)
                for _ in range(8):
                    token = int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())
                    if token in lm.encoder.stops:
                        break
                    ids.append(token)
                start = len(lm.encoder.prompt(prompt))
                assert lm.tokenizer.decode(ids[start:], skip_special_tokens=True) == reply


def test_an_edit_of_nothing_but_activations_hides(lm: LM) -> None:
    assert changes.on_activations(lm).guarantee.kind == "suppression"
    assert "hidden, not removed" in changes.on_activations(lm).guarantee.claim
    assert Edit(lm.digest()).guarantee.kind == "suppression"
    assert changes.on_weights(lm).guarantee.kind == "empirical"


def test_delta_is_the_change_multiplied_out(lm: LM) -> None:
    edit, before = changes.on_weights(lm), worlds.state(lm)
    found = {n: p.detach() for n, p in lm.parameters().items()}
    delta = edit.delta(lm)
    assert delta.keys() == edit.weights.keys()
    for name, chain in edit.weights.items():
        torch.testing.assert_close(delta[name], through(chain, found[name]) - found[name], rtol=0, atol=0)
    assert worlds.state(lm) == before


def test_scaled_from_the_original_to_the_edit_and_beyond(lm: LM) -> None:
    plain = logits(lm)
    for make in (changes.on_weights, changes.low_rank):
        edit = make(lm)
        with edit.on(lm):
            whole = logits(lm)
        with edit.scaled(0.0).on(lm):
            assert torch.equal(logits(lm), plain)
        with edit.scaled(1.0).on(lm):
            assert torch.equal(logits(lm), whole)
        negated = logits_with(lm, {n: lm.parameters()[n].detach() - d for n, d in edit.delta(lm).items()})
        with edit.scaled(-1.0).on(lm):
            torch.testing.assert_close(logits(lm), negated, rtol=1e-5, atol=1e-5)
        assert len({edit.scaled(a).digest() for a in (0.0, 0.5, 1.0, -1.0)}) == 4
    with pytest.raises(InputError, match="only changes of weights can be scaled"):
        changes.on_activations(lm).scaled(0.5)


def test_a_term_of_the_wrong_shape_leaves_nothing_behind(lm: LM) -> None:
    name = changes.places(lm)[0]
    rows, columns = lm.parameters()[name].shape
    wrong = Edit(lm.digest(), {name: (AddOuter(torch.zeros(rows + 1, 1), torch.zeros(1, columns)),)})
    before = worlds.state(lm)
    with pytest.raises(RuntimeError), wrong.on(lm):
        logits(lm)
    assert worlds.state(lm) == before
