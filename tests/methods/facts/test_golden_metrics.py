"""What is measured after our own edits, beside what EasyEdit wrote down after its own."""

import json
from collections.abc import Callable, Mapping

import pytest
from golden_edits import Golden

from unteach.audit.evidence import Evidence
from unteach.audit.facts import fact_roles, fact_sets
from unteach.data.facts import read_facts
from unteach.edit.edit import Edit
from unteach.methods.facts.alphaedit import AlphaEdit
from unteach.methods.facts.memit import MEMIT
from unteach.methods.facts.rome import ROME
from unteach.registry import build
from unteach.schema import Request

ASKED = (
    ("reliability", "facts", "rewrite_acc"),
    ("locality", "neighbours_neighborhood", "locality.neighborhood_acc"),
    ("locality", "neighbours_same_subject", "locality.same_subject_acc"),
    ("portability", "portability_one_hop", "portability.one_hop_acc"),
)
# Ours and the reference's. It asked GPT-2 there with padding on the left and no positions; on its own weights, asked
# row by row, the figures are ours.
PADDED = {
    ("gpt2", "memit_batch10", "locality.same_subject_acc"): (0.45, 0.4375),
    ("gpt2", "alphaedit_batch10", "locality.same_subject_acc"): (0.625, 0.5),
}


def rome(golden: Golden, tag: str) -> Edit:
    layer = golden.told(tag)["hparams"]["layers"][0]
    method = ROME(layer=layer, search=golden.search(tag), forms=golden.contexts("rome_flat"))
    return method(golden.lm, Request(facts=golden.facts(tag)))


def memit(golden: Golden, tag: str) -> Edit:
    told, forms = golden.told(tag)["hparams"], golden.contexts("memit_nested")
    layers = told["layers"]
    weight = told["mom2_update_weight"] / len(golden.moments(layers).of[layers[0]])
    method = MEMIT(_listed(layers), weight, halves=True, search=golden.search(tag), forms=forms)
    return method(golden.lm, Request(facts=golden.facts(tag)))


def alphaedit(golden: Golden, tag: str) -> Edit:
    told, forms = golden.told(tag)["hparams"], golden.contexts("memit_nested")
    method = AlphaEdit(
        _listed(told["layers"]), told["nullspace_threshold"], True, told["L2"], halves=True, search=golden.search(tag),
        forms=forms,
    )  # fmt: skip
    return method(golden.lm, Request(facts=golden.facts(tag)))


def _listed(layers: list[int]) -> str:
    return ",".join(map(str, layers))


def measured(golden: Golden, tag: str, make: Callable[[Golden, str], Edit]) -> Mapping[str, float | None]:
    """Our figures, under the reference's names."""
    told = json.loads((golden.folder / f"edits_{golden.family}.json").read_text(encoding="utf-8"))
    sets = fact_sets(read_facts([told["rome_edit"]] if tag.startswith("rome") else told["memit_edits"]), kinds=True)
    asked = [(build("metric", name, {}), where, theirs) for name, where, theirs in ASKED]
    spoken = (build("metric", "generalisation", {}), "rephrased", "para_acc")
    before = Evidence(golden.lm, sets, name="original", roles=fact_roles(sets))
    for metric, where, _ in asked:
        metric(before, where)
    before.close()
    with make(golden, tag).on(golden.lm):
        after = Evidence(golden.lm, sets, name="edited", roles=fact_roles(sets), original=before)
        return {theirs: metric(after, where).value for metric, where, theirs in (*asked, spoken)}


@pytest.mark.parametrize(
    ("tag", "make"), [("rome_mom2", rome), ("memit_batch10", memit), ("alphaedit_batch10", alphaedit)]
)
def test_after_our_own_edits_the_figures_are_easyedits(
    golden: Golden, tag: str, make: Callable[[Golden, str], Edit]
) -> None:
    told = golden.told(tag)
    found = measured(golden, tag, make)
    theirs = {name: told["metrics_summary"]["post"][name] for *_, name in ASKED}
    theirs["para_acc"] = told["probe_summary_post"]["para_acc"]
    for name, figure in theirs.items():
        ours, easyedits = PADDED.get((golden.family, tag, name), (figure, figure))
        assert (name, found[name]) == (name, pytest.approx(ours))
        assert figure == pytest.approx(easyedits)
