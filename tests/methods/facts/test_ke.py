"""KnowledgeEditor: the formula multiplied out, what it reads, facts in turn, and that it learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from practised import FACTS, by_autograd, multiplied_out

from unteach.data.facts import question
from unteach.lm.anatomy import stored_in_out
from unteach.lm.model import LM
from unteach.methods.facts.conditioners import Conditioner, Conditioners
from unteach.methods.facts.editor import Made, edited, opened, trained
from unteach.methods.facts.gradients import Factors, gradients, mlp_maps, patches
from unteach.methods.facts.ke import KnowledgeEditor
from unteach.methods.facts.lessons import lessons, row
from unteach.methods.facts.practice import Practice
from unteach.methods.facts.train_editor import train_editor
from unteach.methods.facts.training import embedded
from unteach.schema import Fact, InputError, Request

SHORT = Practice(steps=6, batch=3)
SMALL = KnowledgeEditor(hidden=32, practice=SHORT)


def test_knowledge_editor_gates_the_gradient_and_adds_a_term_of_rank_one() -> None:
    torch.manual_seed(0)
    read, write = 5, 7
    net = Conditioner((read, write), condition=6, hidden=8, step=0.1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    terms = Factors(torch.randn(9, read), torch.randn(9, write), torch.arange(9) % 2)
    condition = torch.randn(2, 6)
    found = net(terms, condition)
    for fact in range(2):
        told = net.layers(condition[fact])
        row_a, col_a, row_b, col_b, eta = told.split([write, read, write, read, 1])
        unit = 2 * 0.1 * write
        gate = torch.outer(row_a.softmax(0), col_a * unit)
        term = torch.outer(row_b.softmax(0), col_b * unit)
        mine, made = terms.fact == fact, found.fact == fact
        gradient = terms.delta[mine].T @ terms.x[mine]
        torch.testing.assert_close(
            found.delta[made].T @ found.x[made], eta.sigmoid() * (gradient * gate + term), rtol=1e-4, atol=1e-5
        )
        assert made.sum() == mine.sum() + 1


def test_before_practice_it_is_a_step_of_gradient_descent(lm: LM) -> None:
    maps, rows = mlp_maps(lm, 3), [row(lm, question(f), f.target_new) for f in FACTS[:2]]
    net = SMALL.newborn(lm, maps, SMALL.sizes)
    with torch.no_grad():
        change = net(gradients(lm, rows, list(maps)), embedded(lm, ["one", "another text"]))
    ordinary = by_autograd(lm, rows, list(maps))
    for path, moved in multiplied_out(lm, change).items():
        torch.testing.assert_close(moved, -SMALL.first_step * ordinary[path], rtol=1e-4, atol=1e-6)


def test_each_text_is_read_by_itself_whatever_lies_beside_it(llama: LM) -> None:
    net = Conditioners(mlp_maps(llama, 1), width=64, hidden=16, step=0.1)
    texts = embedded(llama, ["a >> b || What is c?", "d >> e || f?", "What is a longer text known for here?"])
    with torch.no_grad():
        together = net.reader(texts)
        alone = torch.cat([net.reader([t]) for t in texts])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_the_edit_depends_on_the_old_answer_that_was_read(llama: LM) -> None:
    made, _ = trained(SMALL, llama, lessons(llama, FACTS), SHORT)
    one, other = (patches_of(llama, made, replace(FACTS[0], ground_truth=text)) for text in ("Nothing.", "Salt."))
    assert any(
        not torch.equal(one[n].right, other[n].right) or not torch.equal(one[n].left, other[n].left) for n in one
    )


def patches_of(lm: LM, made: Made, fact: Fact) -> dict:
    return edited(lm, made, [fact])


def test_its_patches_are_the_multiplied_out_change(lm: LM) -> None:
    made, _ = trained(SMALL, lm, lessons(lm, FACTS), SHORT)
    rows = [row(lm, question(FACTS[0]), FACTS[0].target_new)]
    with torch.no_grad():
        change = made.net(gradients(lm, rows, list(made.maps)), embedded(lm, [lessons(lm, FACTS[:1])[0].told]))
    whole = multiplied_out(lm, change)
    for name, term in patches(lm, change).items():
        path = name.removesuffix(".weight")
        torch.testing.assert_close(term.left @ term.right, whole[path], rtol=1e-4, atol=1e-6)
        shape = made.maps[path] if stored_in_out(lm.model.get_submodule(path)) else made.maps[path][::-1]
        assert (term.left.shape[0], term.right.shape[1]) == shape
        assert term.left.shape[1] <= len(rows[0].ids) + 1


def test_several_facts_are_written_one_after_another(llama: LM, tmp_path: Path) -> None:
    train_editor(llama, SMALL, FACTS, tmp_path)
    how = replace(SMALL, editor=str(tmp_path))
    edit = how(llama, Request(facts=FACTS[:2]))
    first, made = how(llama, Request(facts=FACTS[:1])), opened(how, llama)
    with first.on(llama):
        second = edited(llama, made, FACTS[1:2])
    for name, chain in edit.weights.items():
        assert torch.equal(chain[0].left, first.weights[name][0].left)
        assert torch.equal(chain[1].left, second[name].left)
    alone = edited(llama, made, FACTS[1:2])
    assert any(
        not torch.equal(second[n].left, alone[n].left) for n in second if second[n].left.shape == alone[n].left.shape
    )


def test_practice_lowers_the_loss(llama: LM) -> None:
    practice = Practice(steps=30, batch=5, lr=1e-2, c_edit=1.0)
    _, losses = trained(SMALL, llama, lessons(llama, FACTS), practice)
    first, last = (sum(x.edit for x in part) / len(part) for part in (losses[:5], losses[-10:]))
    assert last < 0.75 * first


def test_a_kept_editor_gives_the_same_edit_and_is_refused_by_another_model(llama: LM, gpt2: LM, tmp_path: Path) -> None:
    request = Request(facts=FACTS[:1])
    for place in ("one", "two"):
        train_editor(llama, SMALL, FACTS, tmp_path / place)
    one, two = (replace(SMALL, editor=str(tmp_path / place)) for place in ("one", "two"))
    assert one(llama, request).digest() == two(llama, request).digest()
    with pytest.raises(InputError, match="another model"):
        one(gpt2, request)


def test_what_an_editor_cannot_be_is_refused() -> None:
    for options in ({"blocks": 0}, {"hidden": 1}, {"first_step": 0.0}):
        with pytest.raises(InputError, match="at least one block"):
            KnowledgeEditor(**options)
