"""Log-probabilities from states are those of a softmax in double precision, and so are their gradients."""

import pytest
import torch
from torch import Tensor

import families
import worlds
from unteach.lm import likelihood
from unteach.lm.likelihood import _OfStates


def setting(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States, a head, targets, and what is wanted of each log-probability."""
    dice = torch.Generator().manual_seed(0)
    states, weight = scale * torch.randn(11, 6, generator=dice), torch.randn(9, 6, generator=dice)
    return states, weight, torch.randint(9, (11,), generator=dice), torch.randn(11, generator=dice)


def plain(states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return (states @ weight.T).log_softmax(-1).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("at_once", [1, 4, 11, 256])
@pytest.mark.parametrize("scale", [1.0, 100.0])  # with the second most chances are smaller than any number
def test_values_and_gradients(at_once: int, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "AT_ONCE", at_once)
    states, weight, targets, wanted = setting(scale)
    given = [states.requires_grad_(), weight.requires_grad_()]
    wide = [x.detach().double().requires_grad_() for x in given]
    ours, exact = _OfStates.apply(*given, targets), plain(*wide, targets)
    assert (exact.min() < -200) == (scale > 1)
    torch.testing.assert_close(ours.double(), exact, rtol=2e-6, atol=1e-6)
    for found, expected in zip(
        torch.autograd.grad((ours * wanted).sum(), given),
        torch.autograd.grad((exact * wanted).sum(), wide),
        strict=True,
    ):
        assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("trained", [0, 1])
def test_nothing_is_computed_for_what_is_not_trained(trained: int) -> None:
    states, weight, targets, wanted = setting()
    given = [states, weight]
    given[trained].requires_grad_()
    (_OfStates.apply(*given, targets) * wanted).sum().backward()
    assert given[trained].grad is not None
    assert given[1 - trained].grad is None


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt2"])  # gemma2 caps its logits
def test_a_pass_gives_the_same_with_and_without_all_logits(family: str) -> None:
    lm = families.family(family)
    batch = lm.batch(worlds.RECORDS[:5])
    alone, behind = lm.run(batch), lm.run(batch)
    assert behind.logits.shape[0] == len(batch.targets)
    torch.testing.assert_close(alone.token_logps, behind.token_logps, rtol=1e-6, atol=1e-6)


def test_states_are_computed_once_for_both() -> None:
    lm = families.family("llama")
    ran: list[int] = []
    hook = lm.model.model.layers[0].register_forward_hook(lambda *_: ran.append(0))
    both = lm.run(lm.batch(worlds.RECORDS[:5]))
    _ = both.token_logps, both.logits
    hook.remove()
    assert ran == [0]


def test_half_precision_is_raised() -> None:
    lm = families.family("llama")
    lm.model.to(torch.bfloat16)
    batch = lm.batch(worlds.RECORDS[:5])
    found = lm.run(batch).token_logps
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, lm.run(batch).logits.log_softmax(-1).gather(1, batch.targets[:, None])[:, 0])
