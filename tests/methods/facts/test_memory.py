"""What defines the methods that keep facts beside a model: who meets the memory, what comes of it, and who is spared."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_edits import Golden
from torch import Tensor

import worlds
from unteach.data.facts import question, read_facts
from unteach.edit.edit import Edit
from unteach.edit.memories import Codebook, SideMemory
from unteach.lm.model import LM
from unteach.methods.facts.codebook import Key, keyed, numbered
from unteach.methods.facts.grace import GRACE, looked_up
from unteach.methods.facts.lessons import row
from unteach.methods.facts.side import Margin, threshold, ties
from unteach.methods.facts.wise import WISE
from unteach.schema import Fact, InputError, Request


def facts_of(golden: Golden, count: int) -> tuple[Fact, ...]:
    edits = json.loads((golden.folder / f"edits_{golden.family}.json").read_text())["memit_edits"]
    return read_facts(edits[:count])


def begins(lm: LM, questions: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """Whether free answers begin with what they should."""
    said = lm.generate(list(questions), 6)
    return [text.strip().startswith(answer) for text, answer in zip(said, answers, strict=True)]


def book_of(edit: Edit) -> Codebook:
    (((found,),),) = [list(edit.activations.values())]
    assert isinstance(found, Codebook)
    return found


def side_of(edit: Edit) -> SideMemory:
    (((found,),),) = [list(edit.activations.values())]
    assert isinstance(found, SideMemory)
    return found


def beside(facts: Sequence[Fact]) -> tuple[list[str], list[str]]:
    probes = [probe for fact in facts for probe in fact.locality]
    return [p.prompt for p in probes], [p.answer for p in probes]


def logits(lm: LM, path: str, questions: Sequence[str]) -> Tensor:
    """Logits of an answer's first token; the tap that reads nothing makes the model run as under a map."""
    with torch.no_grad(), lm.tap(path, lambda _h, _site: None):
        return lm.logits(lm.batch([replace(r, prompt=q) for q in questions for r in worlds.RECORDS[:1]]))


def test_a_codebook_grows_by_its_rules() -> None:
    """Far away a new ball; the same answer in reach makes one grow; another answer halves both."""
    states = torch.tensor([[10.0, 0.0], [10.0, 3.0], [10.0, -1.0], [10.0, 30.0]])
    far = keyed(states[[0, 3]], [0, 0], 0.2)
    assert [(k.question, k.label) for k in far] == [(0, 0), (1, 0)]
    (grown,) = keyed(states[[0, 1]], [0, 0], 0.2)
    assert grown == Key(0, 3.0, 0)
    halved = keyed(states[[0, 2]], [0, 1], 0.2)
    assert halved == [Key(0, 0.5, 0), Key(1, 0.5, 1)]
    again = keyed(states[[0, 2, 1]], [0, 1, 1], 0.3)  # the nearest key to the third has the other answer
    assert again == [Key(0, 0.5, 0), Key(1, 0.5, 1), Key(2, 1.5, 1)]
    assert keyed(states[[0, 0]], [0, 1], 0.2)[1].radius == 0


def test_grace_keys_and_labels_stay_aligned(golden: Golden) -> None:
    """Each key is the state of its own question, its label the number of that one's answer, its value says it."""
    facts, lm = facts_of(golden, 5), golden.lm
    edit = GRACE()(lm, Request(facts=facts))
    ((path, (book,)),) = edit.activations.items()
    assert isinstance(book, Codebook)
    states = looked_up(lm, [row(lm, question(f), f.target_new) for f in facts], path)
    key, near = book.nearest(states)
    assert near.all()
    assert key.tolist() == list(range(5))
    torch.testing.assert_close(book.keys, states, rtol=0, atol=1e-4)
    assert book.labels.tolist() == numbered([f.target_new for f in facts]) == list(range(5))
    asked, answers = [question(f) for f in facts], [f.target_new for f in facts]
    with edit.on(lm):
        assert all(begins(lm, asked, answers))
    turned = replace(book, values=book.values.flip(0))  # answers in another order than their keys
    with replace(edit, activations={path: (turned,)}).on(lm):
        assert begins(lm, asked, answers) == [False, False, True, False, False]


def test_grace_answers_in_other_words_and_spares_what_lies_outside(golden: Golden) -> None:
    facts, lm = facts_of(golden, 4), golden.lm
    edit = GRACE()(lm, Request(facts=facts))
    ((path, _),) = edit.activations.items()
    questions, answers = beside(facts)
    before, said = logits(lm, path, questions), lm.generate(questions, 6)
    with edit.on(lm):
        again = [begins(lm, f.rephrasings, [f.target_new] * len(f.rephrasings)) for f in facts]
        assert np.mean(again) > 0.75
        assert torch.equal(logits(lm, path, questions), before)
        assert lm.generate(questions, 6) == said
    assert all(begins(lm, questions, answers))


def test_grace_without_an_answer_gives_the_old_one_back(golden: Golden) -> None:
    facts, lm = facts_of(golden, 3), golden.lm
    edit = GRACE()(lm, Request(facts=facts))
    ((path, (book,)),) = edit.activations.items()
    assert isinstance(book, Codebook)
    asked = [question(f) for f in facts]
    with replace(edit, activations={path: (book.without(1),)}).on(lm):
        wanted = [facts[0].target_new, facts[1].ground_truth, facts[2].target_new]
        assert all(begins(lm, asked, wanted))


def test_grace_forces_what_it_frees_and_can_be_corrected_again(golden: Golden) -> None:
    """A forced answer meets the same value as a free one; a later edit of the same question has the last word."""
    (fact,), lm = facts_of(golden, 1), golden.lm
    edit = GRACE()(lm, Request(facts=[fact]))
    other = replace(fact, target_new=fact.ground_truth, ground_truth=fact.target_new)
    with edit.on(lm):
        free = lm.generate([question(fact)], 6)[0]
        batch = lm.batch([replace(worlds.RECORDS[0], prompt=question(fact), answer=free.strip())])
        with torch.no_grad():
            assert torch.equal(lm.logits(batch).argmax(1)[:6], batch.targets[:6])
        second = GRACE()(lm, Request(facts=[other]))
    with edit.then(second).on(lm):
        assert begins(lm, [question(fact)], [fact.ground_truth]) == [True]


def test_grace_refuses_one_question_with_two_answers(golden: Golden) -> None:
    first, second = facts_of(golden, 2)
    same = replace(second, rephrasings=(question(first),))
    with pytest.raises(InputError, match="is asked as one with another answer is"):
        GRACE(rephrased=True)(golden.lm, Request(facts=[first, same]))


def test_wise_sends_its_questions_to_the_side_memory_and_spares_those_beside(golden: Golden) -> None:
    facts, lm = facts_of(golden, 3), golden.lm
    probes = beside(facts)[0]
    edit = WISE()(lm, Request(facts=facts))
    ((path, (side,)),) = edit.activations.items()
    asked = [question(f) for f in facts]
    plain = {q: logits(lm, path, [q]) for q in [*asked, *probes]}
    with edit.on(lm):
        worn = {q: logits(lm, path, [q]) for q in plain}
        assert all(begins(lm, asked, [f.target_new for f in facts]))
        others = [begins(lm, f.rephrasings, [f.target_new] * len(f.rephrasings)) for f in facts]
    assert np.mean(others) > 0.75
    moved = {q: not torch.equal(worn[q], plain[q]) for q in plain}
    assert all(moved[q] for q in asked)
    assert np.mean([moved[q] for q in probes]) < 0.35
    closed = SideMemory(side.deltas, side.thresholds * 1e6)
    with replace(edit, activations={path: (closed,)}).on(lm):
        assert all(torch.equal(logits(lm, path, [q]), plain[q]) for q in plain)


def test_wise_keeps_shards_apart_or_merges_them(golden: Golden) -> None:
    """Each shard stays within its mask; kept apart, a question meets the shard of its own fact."""
    facts, lm = facts_of(golden, 2), golden.lm
    kept = side_of(WISE(merge=False, steps=40)(lm, Request(facts=facts)))
    share = (kept.deltas != 0).float().mean(dim=(1, 2))
    assert len(kept.deltas) == len(kept.thresholds) == 2
    assert (share <= 0.21).all()
    assert (share > 0.15).all()
    edit = WISE(merge=False, steps=40)(lm, Request(facts=facts))
    ((path, _),) = edit.activations.items()
    for n, fact in enumerate(facts):
        alone = SideMemory(kept.deltas[[n]], kept.thresholds[[n]])
        with replace(edit, activations={path: (alone,)}).on(lm):
            assert begins(lm, [question(fact)], [fact.target_new]) == [True]
            others = [question(f) for f in facts if f != fact]
            assert begins(lm, others, [f.ground_truth for f in facts if f != fact]) == [True]  # it is out of memory
    with edit.on(lm):
        assert all(begins(lm, [question(f) for f in facts], [f.target_new for f in facts]))
    assert len(side_of(WISE(steps=2)(lm, Request(facts=facts))).deltas) == 1


def test_ties_and_margin_by_hand() -> None:
    deltas = torch.tensor([[[1.0, -3.0, 0.0, 2.0]], [[3.0, 1.0, 0.0, -2.0]], [[0.0, 1.0, 5.0, 4.0]]])
    assert ties(deltas).tolist() == [[2.0, -3.0, 5.0, 3.0]]
    margin = Margin(alpha=1.0, beta=4.0, gamma=2.0)
    assert margin(torch.tensor([5.0]), torch.tensor([0.5])).item() == 0
    assert margin(torch.tensor([3.0]), torch.tensor([1.5])).item() == pytest.approx(0.5 + 1.0 + 0.5)
    assert threshold(torch.tensor([3.0, 4.0]), torch.tensor([2.0, 1.0, 5.0])).item() == 2.5
    assert threshold(torch.tensor([3.0]), torch.tensor([5.0])).item() == 1.5
    with pytest.raises(InputError, match="below beta"):
        Margin(alpha=1.0, beta=0.5)
