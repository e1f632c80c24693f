"""The model as it is read: taps, hidden states, digests, weights that stand in for others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import worlds
from unteach.lm.anatomy import anatomy, blocks, head
from unteach.lm.forward import at_answers
from unteach.lm.load import load, quiet
from unteach.lm.model import LM, weights_digest
from unteach.lm.trace import Site

PROMPTS = ["What", worlds.RECORDS[1].prompt, worlds.RECORDS[3].prompt]


def last(lm: LM) -> str:
    return f"{anatomy(lm.model).blocks}.{lm.layers - 1}"


def norm(lm: LM, states: Tensor) -> Tensor:
    found: Tensor = lm.model.get_submodule(anatomy(lm.model).norm)(states)
    return found


@torch.no_grad()
def test_hidden_states_are_the_librarys_own(lm: LM) -> None:
    batch = lm.batch(worlds.RECORDS[:5])
    states = lm.model(batch.ids, attention_mask=batch.real.long(), output_hidden_states=True).hidden_states
    for layer in range(lm.layers):
        found = lm.run(batch).hidden(layer)
        found = norm(lm, found) if layer == lm.layers - 1 else found  # the library shows the last one normed
        torch.testing.assert_close(found, at_answers(states[layer + 1], batch), rtol=1e-5, atol=1e-5)


def test_nothing_runs_after_the_layer_that_is_read(lm: LM) -> None:
    ran: list[int] = []
    hooks = [b.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(blocks(lm.model))]
    one = lm.run(lm.batch(worlds.RECORDS[:2]))
    one.hidden(1)
    one.hidden(1)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]


@torch.no_grad()
def test_a_tap_replaces_the_output(lm: LM) -> None:
    batch = lm.batch(worlds.RECORDS[:4])
    states, plain = lm.run(batch).hidden(lm.layers - 1), lm.logits(batch)
    vector = torch.linspace(-1, 1, states.shape[1])
    with lm.tap(last(lm), lambda h, _site: h + vector):
        found = lm.logits(batch)
    torch.testing.assert_close(found, head(lm.model, norm(lm, states + vector)), rtol=1e-5, atol=1e-5)
    assert (found - plain).abs().max() > 0.1
    torch.testing.assert_close(lm.logits(batch), plain, rtol=0, atol=0)  # and is gone afterwards


@torch.no_grad()
def test_a_tap_that_returns_nothing_only_reads(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, seen = lm.batch(worlds.RECORDS[:2]), []
    with monkeypatch.context() as padded:
        padded.setattr("unteach.lm.model.packs", lambda _model: False)  # as whatever is tapped
        plain = lm.logits(batch)
    with lm.tap(last(lm), lambda h, _site: seen.append(h)):
        assert torch.equal(lm.logits(batch), plain)
    torch.testing.assert_close(at_answers(seen[0], batch), lm.run(batch).hidden(lm.layers - 1))


def test_a_tap_knows_where_it_stands_in_a_batch(lm: LM) -> None:
    records = [replace(worlds.RECORDS[0], prompt=p) for p in PROMPTS]
    batch, sites = lm.batch(records), []
    with lm.tap(last(lm), lambda _h, site: sites.append(site)):
        lm.logits(batch)
    (site,) = sites
    starts = [lm.encoder.row(r).start for r in records]
    assert site.phase == "prompt"
    assert site.prompt_end.tolist() == starts
    assert torch.equal(site.mask, batch.real)
    for b, length in enumerate(batch.real.sum(1).tolist()):
        assert site.positions[b, :length].tolist() == list(range(length))


def test_a_tap_knows_where_it_stands_in_a_generation(lm: LM) -> None:
    sites: list[Site] = []
    with lm.tap(last(lm), lambda _h, site: sites.append(site)):
        replies = lm.generate(PROMPTS, 8)
    lengths = [len(lm.encoder.prompt(p)) for p in PROMPTS]
    first, *later = sites
    by_length = sorted(lengths)
    assert (first.phase, first.prompt_end.tolist()) == ("prompt", by_length)
    assert first.mask.sum(1).tolist() == by_length
    for b, n in enumerate(by_length):
        assert first.positions[b, -n:].tolist() == list(range(n))
    assert later
    for step, site in enumerate(later):
        assert site.phase == "decode"
        assert site.positions.shape == (len(site.prompt_end), 1)
        assert site.positions[:, 0].tolist() == [n + step for n in site.prompt_end.tolist()]
    assert replies == lm.generate(PROMPTS, 8)


def test_rows_that_ended_leave_the_generation(lm: LM) -> None:
    sites: list[Site] = []
    prompts = [r.prompt for r in worlds.RECORDS]
    with lm.tap(last(lm), lambda _h, site: sites.append(site)):
        lm.generate(prompts, 40)
    counts = [len(s.prompt_end) for s in sites]
    answers = [len(lm.encoder.row(r).ids) - lm.encoder.row(r).start for r in worlds.RECORDS]
    assert counts == [sum(n > step for n in answers) for step in range(max(answers))]
    ends = sorted(lm.encoder.row(r).start for r, n in zip(worlds.RECORDS, answers, strict=True) if n == max(answers))
    assert sorted(sites[-1].prompt_end.tolist()) == ends


def test_weights_that_stand_in_act_during_the_call_only(lm: LM) -> None:
    batch = lm.batch(worlds.RECORDS[:3])
    name = next(iter(lm.parameters()))  # the tied embedding: both of its uses must see the stand-in
    before = lm.logits(batch).detach()
    doubled = {name: (2 * lm.parameters()[name]).detach()}
    found = lm.logits(batch, doubled).detach()
    with torch.no_grad():
        lm.parameters()[name].mul_(2)
        expected = lm.logits(batch)
        lm.parameters()[name].div_(2)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(lm.logits(batch), before, rtol=0, atol=0)


def test_the_digest_survives_a_round_trip(lm: LM, tmp_path: Path) -> None:
    with quiet():
        lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.digest() == lm.digest()
    assert again.generate(PROMPTS, 8) == lm.generate(PROMPTS, 8)


def test_the_digest_changes_with_any_weight(lm: LM) -> None:
    digests = {lm.digest()}
    for parameter in lm.parameters().values():
        with torch.no_grad():
            kept = parameter.view(-1)[-1].item()
            parameter.view(-1)[-1] += 1e-3
            digests.add(lm.digest())
            parameter.view(-1)[-1] = kept
    assert len(digests) == 1 + len(lm.parameters())
    assert lm.digest() in digests


def test_the_digest_names_types_and_shapes_and_counts_tied_weights_once() -> None:
    one = torch.arange(6.0)
    digest = weights_digest({"a": one})
    assert weights_digest({"a": one, "b": one}) == digest
    assert weights_digest({"a": one, "b": one.clone()}) != digest
    others = [{"b": one}, {"a": one.view(2, 3)}, {"a": one.view(torch.int32)}, {"a": one + 1}, {}]
    assert len({digest, *(weights_digest(o) for o in others)}) == 6


def test_parameters_have_plain_names_and_tied_ones_come_once(lm: LM) -> None:
    assert lm.parameters().keys() == dict(lm.model.named_parameters()).keys()
    assert not any("lm_head" in name for name in lm.parameters())


def test_shapes_are_checked_in_tests(llama: LM) -> None:
    with pytest.raises(Exception, match="Type-check error"):
        head(llama.model, torch.zeros(64))
