"""The orthogonal filter: planted axes, an axis to keep, and its probe at chance behind it."""

from dataclasses import replace

import pytest
import torch
from planted import ROWS
from torch import Tensor

from unteach.edit.maps import Erase
from unteach.lm.model import LM
from unteach.measure.residuals import last_states
from unteach.methods.concepts.orthogonalprojection import OrthogonalProjection, Probe, trained
from unteach.schema import InputError, Request

WIDTH, COUNT = 12, 160
HOW = OrthogonalProjection()
PAIR = tuple(r for r in ROWS if r.label in (0, 1))


def planted(seed: int, *, also: bool) -> tuple[Tensor, Tensor, Tensor]:
    """States with one concept along the first of some axes and, with `also`, another along the second; their classes."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q
    signs = torch.randint(0, 2, (COUNT, 2), generator=generator)
    states = 0.3 * torch.randn(COUNT, WIDTH, generator=generator) + 1.5 * (2.0 * signs - 1) @ axes[:, :2].T
    kept = (torch.arange(COUNT) >= COUNT // 2) & also
    return states, torch.where(kept, signs[:, 1] + 2, signs[:, 0]), axes


@pytest.mark.parametrize("seed", range(2))
def test_the_filter_takes_out_the_planted_axis_and_spares_the_one_to_keep(seed: int) -> None:
    states, classes, axes = planted(seed, also=True)
    found = trained(states, classes, HOW).axes(HOW.threshold)
    assert found.shape == (WIDTH, 1)
    assert (found.T @ axes[:, 0]).abs() > 0.95
    assert (found.T @ axes[:, 1]).abs() < 0.3
    torch.testing.assert_close(found.T @ found, torch.eye(1))
    filtered = Erase(found, found.T, torch.zeros(WIDTH)).of(states)
    for concept, most, least in ((0, 0.75, 0.0), (2, 1.0, 0.9)):  # the planted one, and the one to keep
        here = (classes // 2) * 2 == concept
        means = [filtered[here & (classes == concept + c)].mean(0) for c in (0, 1)]
        right = torch.cdist(filtered[here], torch.stack(means)).argmin(1) + concept == classes[here]
        assert least <= right.float().mean() <= most


def test_its_own_probe_says_the_same_of_every_filtered_state() -> None:
    states, classes, _ = planted(3, also=False)
    probe = trained(states, classes, HOW)
    axes = probe.axes(HOW.threshold)

    def said(h: Tensor) -> Tensor:
        q = h @ probe.basis * probe.scales[0]
        return q.clamp_min(0).square().sum(1) - q.clamp_max(0).square().sum(1)

    right = (said(states - states.mean(0)) > 0) == (classes == 0)
    assert right.float().mean() > 0.95
    filtered = said(Erase(axes, axes.T, torch.zeros(WIDTH)).of(states))
    assert filtered.abs().max() < 1e-6 * said(states).abs().max()


def test_a_filter_that_keeps_every_axis_is_the_identity() -> None:
    states, classes, _ = planted(0, also=False)
    none = trained(states, classes, HOW).axes(threshold=1e9)
    assert torch.equal(Erase(none, none.T, torch.zeros(WIDTH)).of(states), states)


def test_it_is_a_projection_and_says_how_far_its_probe_was_from_one(lm: LM) -> None:
    edit = OrthogonalProjection(first=1.0)(lm, Request(forget=PAIR))
    assert edit.guarantee.numbers["orthogonality"] > 0
    assert edit.guarantee.kind == "suppression"
    assert {int(path.rpartition(".")[2]) for path in edit.activations} <= {1, 2}
    states = last_states(lm, [lm.encoder.row(r).prompt for r in PAIR])[:, -1]
    for (change,) in edit.activations.values():
        torch.testing.assert_close(change.of(change.of(states)), change.of(states), rtol=1e-4, atol=1e-4)


def test_an_axis_goes_where_the_concept_uses_it_more_than_what_is_kept() -> None:
    scales = torch.tensor([[0.5, 0.2, -0.9, 0.0], [0.1, -0.3, 0.0, 0.0]])
    assert torch.equal(Probe(torch.eye(4), scales, 0.0).axes(1e-4), torch.eye(4)[:, [0, 2]])
    assert torch.equal(Probe(torch.eye(4), scales, 0.0).axes(0.6), torch.eye(4)[:, [2]])


def test_labels_on_rows_to_keep_are_heard(llama: LM) -> None:
    """Rows to keep without labels say nothing of what should stay; with labels they are a task of their own."""
    kept = tuple(replace(r, id=f"kept {r.id}") for r in PAIR)
    silent = tuple(replace(r, label=None) for r in kept)
    edits = [OrthogonalProjection(first=2.0)(llama, Request(forget=PAIR, retain=rows)) for rows in ((), silent, kept)]
    assert edits[0].digest() == edits[1].digest() != edits[2].digest()


def test_more_than_two_classes_are_refused(llama: LM) -> None:
    with pytest.raises(InputError, match="two classes"):
        OrthogonalProjection()(llama, Request(forget=ROWS))
    with pytest.raises(InputError, match="no axis"):
        OrthogonalProjection(threshold=1e9)(llama, Request(forget=PAIR))
    with pytest.raises(InputError, match="epoch"):
        OrthogonalProjection(epochs=0)
