"""LEACE: the theorem, the fitter beside its authors' own, scrubbing through the layers, and erasers in the weights."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from warnings import catch_warnings, simplefilter

import pytest
import torch
from planted import OPENINGS, REQUEST, ROWS, commonest, crossed, least_squares, sample
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import families
import worlds
from unteach.edit.bake import bake
from unteach.lm.anatomy import FAMILIES, anatomy
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.methods.concepts.covariance import Covariances, constrained, eraser
from unteach.methods.concepts.leace import LEACE
from unteach.schema import InputError, Request

with catch_warnings():  # it compiles as older releases of torch did
    simplefilter("ignore", DeprecationWarning)
    from concept_erasure import LeaceFitter

SETTINGS = [
    {},
    {"shrinkage": False},
    {"affine": False},
    {"orthogonal": True},
    {"constrain_trace": False},
    {"tolerance": 1e-6, "shrinkage": False},
]


def test_leace_leaves_no_linear_trace_and_moves_states_least() -> None:
    found = sample()
    majority = commonest(found.classes)
    least, orthogonal = (eraser(found.covariances(), shrinkage=False, orthogonal=o) for o in (False, True))
    assert crossed(found.states, found.marks) > 0.5
    assert least_squares(found.states, found.classes) > majority + 0.1
    logistic = LogisticRegression(C=1e6, max_iter=2000)
    assert logistic.fit(found.states, found.classes).score(found.states, found.classes) > majority + 0.1
    for made in (least, orthogonal):
        erased, taken = made.of(found.states), made.left @ made.right
        assert crossed(erased, found.marks) < 1e-10
        assert least_squares(erased, found.classes) == majority
        assert logistic.fit(erased, found.classes).score(erased, found.classes) == pytest.approx(majority)
        torch.testing.assert_close(made.of(erased), erased, rtol=0, atol=1e-10)
        assert torch.linalg.matrix_rank(taken) == 2  # classes less one
        torch.testing.assert_close(erased.mean(0), found.states.mean(0), rtol=0, atol=1e-10)
    moved = [(made.of(found.states) - found.states).square().sum(1).mean() for made in (least, orthogonal)]
    assert moved[0] < 0.9 * moved[1]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_eraser_is_that_of_its_authors(settings: dict[str, float], seed: int) -> None:
    found = sample(300, 16, seed=seed)
    given = {
        "method": "orth" if settings.get("orthogonal") else "leace", "affine": settings.get("affine", True),
        "shrinkage": settings.get("shrinkage", True), "svd_tol": settings.get("tolerance", 0.01),
        "constrain_cov_trace": settings.get("constrain_trace", True),
    }  # fmt: skip
    theirs = LeaceFitter.fit(found.states, found.marks, **given).eraser
    ours = eraser(found.covariances(), **settings)
    torch.testing.assert_close(ours.of(found.states), theirs(found.states), rtol=1e-9, atol=1e-9)


def test_portions_and_their_order_change_nothing() -> None:
    found = sample(200, 8)
    whole = found.covariances(200)
    centred = found.states - found.states.mean(0)
    torch.testing.assert_close(whole.within(shrinkage=False), found.states.T.cov(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole.cross, centred.T @ found.marks / 199, rtol=1e-10, atol=1e-12)
    for portion in (1, 7, 150):
        parts = found.covariances(portion)
        torch.testing.assert_close(parts.xx, whole.xx, rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(parts.xz, whole.xz, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_variance_does_not_grow_and_the_kernel_stays(seed: int) -> None:
    """An eraser made from one covariance and worn by states of another adds variance, unless it is held."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(12, 12, generator=generator, dtype=torch.float64) for _ in range(2)]
    theirs, within = (a @ torch.diag(torch.logspace(1, -1, 12).double()) @ a.T for a in drawn)
    kernel = torch.linalg.qr(torch.randn(12, 2, generator=generator, dtype=torch.float64)).Q
    inner = torch.linalg.inv(theirs)
    right = torch.linalg.solve(kernel.T @ inner @ kernel, kernel.T @ inner)

    def variance(left: Tensor, right: Tensor) -> float:
        kept = torch.eye(12, dtype=torch.float64) - left @ right
        return float((kept @ within @ kept.T).trace())

    left, held = constrained(within, kernel, right)
    grown = variance(kernel, right) > within.trace()
    assert variance(left, held) <= within.trace() * (1 + 1e-12)
    assert grown == pytest.approx(not torch.allclose(left @ held, kernel @ right))
    assert not grown or variance(left, held) == pytest.approx(float(within.trace()), rel=1e-9)
    torch.testing.assert_close(left @ held @ kernel, kernel, rtol=0, atol=1e-10)  # still taken out


def test_some_of_these_erasers_do_add_variance() -> None:
    """The test above meets both cases."""
    generator = torch.Generator().manual_seed(0)
    within = torch.diag(torch.tensor([100.0, 1.0]).double())
    kernel, right = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[2.0, 1.0]]).double()
    kept = torch.eye(2, dtype=torch.float64) - kernel @ right
    assert (kept @ within @ kept.T).trace() > within.trace()
    left, held = constrained(within, kernel, right)
    kept = torch.eye(2, dtype=torch.float64) - left @ held
    assert (kept @ within @ kept.T).trace() == pytest.approx(101.0)
    drawn = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(drawn @ kept.T @ kept.T, drawn @ kept.T)


def states(lm: LM, paths: Iterable[str]) -> tuple[dict[str, Tensor], Tensor]:
    """What modules put out at every token of the labelled rows, and the classes of these tokens."""
    rows = lm.batch(sorted(ROWS, key=lambda r: r.id))
    classes = torch.tensor([r.label for r in sorted(ROWS, key=lambda r: r.id)])[rows.places // rows.ids.shape[1]]
    found = {}
    with torch.no_grad():
        for path in paths:
            found[path] = lm.outputs(rows, path)
    return found, classes


@pytest.mark.parametrize("site", ["norms", "blocks"])
@pytest.mark.parametrize("variant", ["leace", "orth"])
def test_scrubbed_layers_tell_no_linear_probe_the_class(lm: LM, site: str, variant: str) -> None:
    """Each eraser was fitted behind the others: with all of them on, no site tells anything at any token."""
    edit = LEACE(site=site, variant=variant)(lm, REQUEST)
    assert len(edit.activations) == lm.layers * (2 if site == "norms" else 1)
    before, classes = states(lm, edit.activations)
    majority = commonest(classes)
    with edit.on(lm):
        after, _ = states(lm, edit.activations)
    marks = torch.nn.functional.one_hot(classes).double()
    for path in edit.activations:
        assert crossed(after[path].double(), marks) < 1e-4 * crossed(before[path].double(), marks)
        assert least_squares(before[path], classes) > majority + 0.05
        assert least_squares(after[path], classes) <= majority
    assert edit.guarantee.kind == "suppression"


def test_erasers_fitted_to_the_model_as_it_is_are_not_enough(lm: LM) -> None:
    """The control of scrubbing: the last eraser alone, fitted without the others, misses what they make of the states."""
    edit = LEACE(site="blocks")(lm, REQUEST)
    last = f"{anatomy(lm.model).blocks}.{lm.layers - 1}"
    alone, classes = states(lm, [last])
    marks, seen = torch.nn.functional.one_hot(classes).double(), Covariances(worlds.SIZE.hidden, len(OPENINGS))
    seen.add(alone[last], marks)
    others = replace(edit, activations={p: m for p, m in edit.activations.items() if p != last})
    with others.on(lm):
        worn, _ = states(lm, [last])
    scrubbed, single = (crossed(e.of(worn[last].double()), marks) for e in (edit.activations[last][0], eraser(seen)))
    assert scrubbed < 0.1 * single


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_scrubbed(family: str) -> None:
    lm = families.family(family)
    site = "norms" if anatomy(lm.model).entered else "blocks"
    if site == "blocks":
        with pytest.raises(InputError, match="site=blocks"):
            LEACE()(lm, REQUEST)
    edit = LEACE(site=site, tolerance=1e-6)(lm, REQUEST)
    before, classes = states(lm, edit.activations)
    marks = torch.nn.functional.one_hot(classes).double()
    with edit.on(lm):
        after, _ = states(lm, edit.activations)
        assert len(lm.generate(["What is Orvena known for?"], 3)) == 1
    for path in edit.activations:
        assert crossed(after[path].double(), marks) < 1e-3 * max(1e-2, crossed(before[path].double(), marks))


def logits(lm: LM) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.batch(worlds.RECORDS))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "olmo2"])
def test_folded_weights_say_what_the_worn_eraser_says(family: str) -> None:
    """With a bias everywhere the eraser goes in as it is; else it must add nothing, and the reason is given."""
    lm = families.family(family)
    affine = family in ("gpt2", "gpt_neox")
    if not affine:
        with pytest.raises(InputError, match=r"no bias.*affine=False"):
            LEACE(fold=True)(lm, REQUEST)
    worn, folded = (LEACE(affine=affine, fold=fold)(lm, REQUEST) for fold in (False, True))
    before = logits(lm)
    assert not folded.activations
    assert any(name.endswith("bias") for name in folded.weights) == affine
    with worn.on(lm):
        one = logits(lm)
    with folded.on(lm):
        other = logits(lm)
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
    assert (one - before).abs().max() > 100 * (one - other).abs().max()
    assert folded.guarantee.kind == "suppression"


def test_what_is_folded_can_be_baked(gpt2: LM, tmp_path: Path) -> None:
    edit = LEACE(fold=True)(gpt2, REQUEST)
    bake(edit, gpt2, tmp_path / "out")
    with edit.on(gpt2):
        worn = logits(gpt2)
    torch.testing.assert_close(logits(load(tmp_path / "out")), worn, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError):
        bake(LEACE()(gpt2, REQUEST), gpt2, tmp_path / "other")


def test_rows_in_another_order_give_the_same_edit(llama: LM) -> None:
    turned = replace(REQUEST, forget=ROWS[::-1], retain=())
    assert LEACE()(llama, REQUEST).digest() == LEACE()(llama, turned).digest()


def test_what_cannot_be_erased_is_refused(llama: LM) -> None:
    alike = [replace(r, id=f"{r.id}+{label}", label=label) for r in ROWS[:4] for label in (0, 1)]
    with pytest.raises(InputError, match="nothing to erase"):
        LEACE()(llama, Request(forget=alike))
    with pytest.raises(InputError, match="tolerance"):
        LEACE(tolerance=0.0)
    with pytest.raises(InputError, match="site=norms"):
        LEACE(site="blocks", fold=True)
