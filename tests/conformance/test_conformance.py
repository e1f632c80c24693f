"""What every method and every objective must hold to, on two families; nothing here names one of them."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from subjects import REQUEST, SHORT, SUBJECTS, WHOLE, Subject, made, said

import towns
from unteach import registry
from unteach.audit.facts import fact_sets
from unteach.data.facts import read_facts
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.measure.answers import ask, exact_match, probability
from unteach.methods.facts.practice import Practice
from unteach.schema import STRENGTH, InputError, Record, Request

GIVEN = ("forget", "retain", "holdout", "facts")  # the needs that a request meets; a training meets the others
ALLOWED = {  # which classes a mechanism may claim
    "objective": {"empirical"},
    "method": {"certified", "empirical", "suppression"},
    "guard": {"suppression"},
    "learner": {"exact", "certified", "empirical"},
}
RISES, HOLDS = 3.0, 0.7  # nats by which new answers gain on old ones; neighbours whose answer stays the likelier one
FALLS, STAYS = 0.7, 0.9  # of the forget rows' probability before; of the retain rows' greedy accuracy before


@pytest.mark.usefixtures("untouched")
def test_the_same_again_gives_the_same_edit_and_leaves_the_model(lm: LM, subject: Subject) -> None:
    first = made(lm, subject.method(SHORT))
    with torch.random.fork_rng():
        torch.manual_seed(99)
        second = subject.method(SHORT)(lm, REQUEST)
    assert first.digest() == second.digest()
    assert first.base == lm.digest()
    assert first.history == second.history


@pytest.mark.usefixtures("untouched")
def test_a_failure_in_the_middle_leaves_the_model(lm: LM, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, calls = LM._call, 0

    def failing(self: LM, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("planted")
        return asked(self, *args)

    monkeypatch.setattr(LM, "_call", failing)
    failure = ""
    try:
        subject.method(replace(SHORT, tune="lora"))(lm, REQUEST)
    except RuntimeError as failed:
        failure = str(failed)
    assert failure == "planted" or calls == 0  # what asks the model nothing comes through
    assert not lm.lock._is_owned()


@pytest.mark.usefixtures("untouched")
def test_it_changes_something_and_comes_off_bit_for_bit(lm: LM, edit: Edit) -> None:
    before, digest = said(lm), lm.digest()
    with edit.on(lm):
        assert lm.digest() == edit.worn_digest != digest
        worn = said(lm)
    assert not torch.equal(worn, before) or edit.guards
    assert torch.equal(said(lm), before)
    with pytest.raises(KeyError, match="planted"), edit.on(lm):
        raise KeyError("planted")
    assert torch.equal(said(lm), before)
    with edit.on(lm):
        assert torch.equal(said(lm), worn)


def test_it_survives_the_disk(lm: LM, edit: Edit, tmp_path: Path) -> None:
    store.save(edit, tmp_path)
    read = store.load(tmp_path)
    assert (read.digest(), read.worn_digest, read.base) == (edit.digest(), edit.worn_digest, edit.base)
    assert (read.guarantee, read.made_by, read.history) == (edit.guarantee, edit.made_by, edit.history)
    with edit.on(lm):
        worn = said(lm)
    with read.on(lm):
        assert torch.equal(said(lm), worn)
    assert {p.name for p in tmp_path.iterdir()} == {"edit.json", "edit.safetensors"}


def test_what_is_missing_is_refused_by_name(llama: LM, subject: Subject) -> None:
    needs = set(subject.method(SHORT).needs) & set(GIVEN) | ({"retain"} if subject.retains else set())
    assert needs
    for need in sorted(needs):
        with pytest.raises(InputError, match=need) as refused:
            subject.method(SHORT)(llama, replace(REQUEST, **{need: ()}))
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="|".join(sorted(needs))):
        subject.method(SHORT)(llama, Request())


def test_it_is_documented_with_a_reference(subject: Subject) -> None:
    doc = subject.entry.doc
    assert doc.split("\n")[0].endswith((".", ":"))
    assert subject.entry.paper or "Reference:" in doc
    if subject.entry.kind == "objective":
        return
    assert all(need in doc for need in subject.entry.needs)
    example = re.search(r"Example: ``(.+?)``", doc, re.DOTALL)
    assert example, "the docstring ends with an example"
    call = ast.parse(example[1], mode="eval").body
    made = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
    assert made.startswith(f"{subject.cls.__name__}(")
    assert isinstance(eval(made, {subject.cls.__name__: subject.cls}), subject.cls)


@pytest.mark.parametrize("entry", [e for e in registry.entries() if e.kind in ALLOWED], ids=lambda e: e.name)
def test_it_claims_no_more_than_its_mechanism_allows(entry: registry.Entry) -> None:
    assert entry.guarantee in ALLOWED[entry.kind]


def test_the_edit_claims_no_more_than_is_announced(subject: Subject, edit: Edit) -> None:
    assert STRENGTH.index(edit.guarantee.kind) >= STRENGTH.index(subject.entry.guarantee)
    assert edit.guarantee.claim
    assert edit.weights or edit.guarantee.kind in ("suppression", "none")


def known(lm: LM, records: tuple[Record, ...]) -> tuple[float, float]:
    """Mean probability and mean greedy accuracy."""
    answers = ask(lm, records)
    return float(np.mean([probability(a) for a in answers])), float(np.mean([exact_match(a) for a in answers]))


CORRECTING = [s for s in SUBJECTS if s.corrects]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("corrector", CORRECTING, ids=lambda s: s.entry.name)
def test_it_corrects_facts(
    corrector: Subject, shared: Path, family: str, request: pytest.FixtureRequest
) -> None:  # fmt: skip
    """On a model that knows facts by their subjects, new answers become likelier than old ones; neighbours' stay."""
    lm = load(shared / "golden" / f"tiny_facts_{family}")
    facts = read_facts(json.loads((shared / f"golden/easyedit/edits_{family}.json").read_text())["memit_edits"][:3])
    sets = fact_sets(facts)
    edit = corrector.method(WHOLE, Practice())(lm, Request(facts=facts, retain=sets["neighbours"]))
    if edit.guards:  # nothing is told by likelihood then, and these models do not go by what they are told
        assert_it_answers_anew(corrector, request.getfixturevalue("reader"))
        return

    def ahead(role: str) -> list[float]:
        """How much likelier the right answer is than the wrong one, in nats a token."""
        right = ask(lm, sets[role])
        wrong = ask(lm, [replace(r, answer=r.perturbed[0], perturbed=()) for r in sets[role]])
        return [a.words.logps.mean() - b.words.logps.mean() for a, b in zip(right, wrong, strict=True)]

    before = np.mean(ahead("facts"))
    with edit.on(lm):
        after, neighbours = ahead("facts"), ahead("neighbours")
    assert np.mean(after) >= before + RISES
    assert np.mean(np.array(neighbours) > 0) >= HOLDS


def assert_it_answers_anew(corrector: Subject, reader: LM) -> None:
    """In free answers the new one comes, in other words too, and neighbours keep theirs."""
    sets = fact_sets([towns.fact("Orvena", "glass")])
    questions = [*sets["facts"], *sets["rephrased"], *sets["neighbours"]]
    edit = corrector.method(WHOLE, Practice())(
        reader, Request(facts=[towns.fact("Orvena", "glass")], retain=sets["neighbours"])
    )
    before = [text.strip() for text in reader.generate(questions, 8)]
    with edit.on(reader):
        after = [text.strip() for text in reader.generate(questions, 8)]
    assert before == ["salt", "salt", "copper"]
    assert after == ["glass", "glass", "copper"]


def test_it_does_what_it_declares(lm: LM, subject: Subject, edit: Edit) -> None:
    """Forgetting lowers what is to go; a retain term, and what keeps, leaves the answers as they were."""
    needs = subject.method(WHOLE).needs
    if subject.corrects:
        return  # tested above, on models that know facts by their subjects
    assert "forget" in needs, "an effect of another kind: add its test here"
    before = known(lm, REQUEST.forget), known(lm, REQUEST.retain)
    with edit.on(lm):
        after = known(lm, REQUEST.forget), known(lm, REQUEST.retain)
    if subject.keeps:
        assert after[0][1] >= STAYS * before[0][1]
    else:
        assert after[0][0] <= FALLS * before[0][0]
    if subject.retains:
        assert after[1][1] >= STAYS * before[1][1]
