"""The guard that draws what a model else finds likeliest."""

from math import inf

import pytest
import torch
from torch import Tensor

import worlds
from unteach.edit.edit import Edit
from unteach.lm.drawing import Drawing, drawn, likely
from unteach.lm.model import LM
from unteach.methods.conversation.decoding import Decoding, penalised
from unteach.schema import InputError, Request


def said(lm: LM, prompts: list, **settings: float) -> list[str]:
    guard = Decoding(**settings).fitted(Request(), None)
    with Edit(base=lm.digest(), guards=(guard,)).on(lm):
        return lm.generate(prompts, 16)


def test_decoding_is_the_model_itself_by_default_and_draws_by_seed_and_conversation_alone(lm: LM) -> None:
    prompts = [f"{r.prompt} Where?" for r in worlds.RECORDS]
    plain, random = lm.generate(prompts, 16), torch.get_rng_state()
    assert said(lm, prompts) == plain
    assert said(lm, prompts, temperature=2.0, top_k=1) == plain
    assert said(lm, prompts, temperature=2.0, top_p=1e-6) == plain
    met = said(lm, prompts, temperature=2.0)
    assert met != plain
    assert said(lm, prompts[::-1], temperature=2.0) == met[::-1]
    assert said(lm, prompts[3:4], temperature=2.0) == met[3:4]
    assert said(lm, prompts, temperature=2.0, seed=1) != met
    assert torch.equal(torch.get_rng_state(), random)


def test_the_default_touches_no_logit() -> None:
    session, logits, turns = Decoding().session(), torch.randn(5), ()
    assert session.ask(turns) is turns
    assert session.logits(torch.tensor([1]), logits) is logits
    assert Decoding().observable


def kept(logits: Tensor) -> list[int]:
    return logits.isfinite().nonzero()[:, 0].tolist()


def test_likely_keeps_the_fewest_that_hold_the_share() -> None:
    logits = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15]).log()
    assert likely(logits) is logits
    assert kept(likely(logits, top_k=2)) == [1, 3]
    assert kept(likely(logits, top_p=0.5)) == [1, 3]
    assert kept(likely(logits, top_p=0.39)) == [1]
    assert kept(likely(logits, top_p=0.84)) == [1, 3, 4]
    assert kept(likely(logits, top_k=3, top_p=0.8)) == [1, 3]  # the three hold 0.85, of which two hold 0.82
    assert kept(likely(torch.zeros(4), top_k=2)) == [0, 1]
    assert kept(likely(torch.tensor([0.0, -inf, 0.0]), top_k=3)) == [0, 2]
    found = likely(logits, top_k=2)
    assert torch.equal(found[[1, 3]], logits[[1, 3]])


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    dice = torch.Generator().manual_seed(0)
    n = 4000
    counts = torch.zeros(4)
    for _ in range(n):
        counts[drawn(shares.log(), dice).argmax()] += 1
    assert ((counts / n - shares).abs() < 4 * (shares * (1 - shares) / n).sqrt()).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_drawing_of_attacks_is_what_it_was(kind: torch.dtype) -> None:
    """Bit for bit argmax(logits / temperature + noise), in float32, one seed a conversation."""
    guard = Drawing(0.7, iter([11, 12]))
    for seed in (11, 12):
        session, dice = guard.session(), torch.Generator().manual_seed(seed)
        for step in range(5):
            logits = torch.randn(300, generator=torch.Generator().manual_seed(step)).to(kind)
            noise = -torch.empty(300).exponential_(generator=dice).log()
            wanted = torch.full_like(logits, -inf)
            wanted[(logits.float() / 0.7 + noise).argmax()] = 0.0
            found = session.logits(torch.tensor([1]), logits)
            assert found.dtype == kind
            assert torch.equal(found, wanted)


def test_a_token_of_the_answer_is_less_likely_to_come_again_and_the_questions_are_left_alone() -> None:
    logits = torch.tensor([2.0, -2.0, 1.0, 0.0])
    found = penalised(logits, torch.tensor([0, 1, 1]), 2.0)
    assert found.tolist() == [1.0, -4.0, 1.0, 0.0]
    session = Decoding(repetition=2.0).session()
    session.ask(())
    assert torch.equal(session.logits(torch.tensor([0, 2]), logits), logits)
    assert session.logits(torch.tensor([0, 2, 1]), logits).tolist() == [2.0, -4.0, 1.0, 0.0]
    session.ask(())  # a new question
    assert torch.equal(session.logits(torch.tensor([0, 2, 1]), logits), logits)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"repetition": 0.0}, {"top_k": 5}],
)
def test_settings_without_a_meaning_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="decoding"):
        Decoding(**wrong)
