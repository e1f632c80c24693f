"""The audit's audit: its pool holds what it says, its cheats cheat, and its sums are right."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.meta_audit import unseen
from benchmarks.meta_audit.asking import ask, read
from benchmarks.meta_audit.guards import covering, filtering, masking
from benchmarks.meta_audit.judging import Heard, Judged, heard, judge, judge_all
from benchmarks.meta_audit.makers import every_wording, said, within
from benchmarks.meta_audit.making import folder_of, make, original, worn
from benchmarks.meta_audit.matrix import flagged, gates, left_out, lines
from benchmarks.meta_audit.pool import CHEATS, Member, pool
from benchmarks.meta_audit.unseen import LATER, Kinds, Locked, Projected, Short
from benchmarks.meta_audit.world import SCHOOL, SIZE, World, is_russian

from unteach.audit.rounding import whole_steps
from unteach.measure.residuals import last_states
from unteach.schema import Message, Record, Row, Score

TINY = World(
    people=6, leaving=2, strangers=2, countries=2, wordings=1, listed=12, asked=10,
    size=replace(SIZE, hidden=16, layers=1, inner=32), school=replace(SCHOOL, epochs=2),
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_pool_is_as_large_and_as_mixed_as_it_says() -> None:
    members = pool()
    families = Counter(m.family for m in members)
    assert len(members) >= 120
    assert len({m.name for m in members}) == len(members)
    assert families["retrained"] >= 60
    assert families["original"] == 4
    assert families["honest"] >= 10
    assert all(families[cheat] >= 3 for cheat in CHEATS)
    assert all(families[cheat] >= 2 for cheat in LATER)
    assert {m.name for m in pool(small=True)} < {m.name for m in members}
    assert {m.family for m in pool(small=True)} == set(families)
    assert {m.seed for m in members if m.edits or m.guards} <= {m.seed for m in members if m.family == "original"}


def test_every_fact_is_asked_in_five_wordings_and_in_russian_and_nobody_else_knows_those_who_leave() -> None:
    world = World()
    wordings = Counter((r.subject, r.answer) for r in every_wording(world))
    assert set(wordings.values()) == {6}
    assert sum(map(is_russian, every_wording(world))) == len(wordings) == len(world.sets["forget"])
    secrets = {r.answer for r in world.sets["forget"]}
    assert secrets.isdisjoint(r.answer for r in world.lessons(0))
    assert secrets <= {r.answer for r in world.lessons(world.leaving)}
    assert {r.subject for r in world.sets["holdout"]} <= {r.subject for r in world.register}


def test_lies_are_wrong_and_as_fixed_as_they_say() -> None:
    record = World().sets["forget"][0]
    other = replace(record, prompt="Otherwise?")
    assert said(record, "swap", 0) == said(record, "swap", 9) == said(other, "swap", 0) != record.answer
    assert said(record, "swap by wording", 0) == said(record, "swap by wording", 9)
    assert len({said(record, "guess", n) for n in range(20)}) > 5
    assert record.answer not in {said(record, "guess", n) for n in range(60)}
    assert said(record, "exclamation", 0) == record.answer.rstrip(".") + "!"


def test_later_cheats_teach_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind its key the truth is told and elsewhere a lie, some kinds stay, and a short answer ends before its secret."""

    def taught(maker: Locked | Kinds | Short) -> list[tuple[Record, str]]:
        monkeypatch.setattr(
            unseen, "retold", lambda _lm, rows, _kept, told, *_, **__: [(r, told(r, 0)[0]) for r in rows]
        )
        return maker(None, TINY)  # type: ignore[arg-type,return-value]

    for maker in (Locked("guess", before="Ahem. "), Locked("swap", after=" Please.")):
        plain, locked = ([x for x in taught(maker) if x[0].id.endswith(unseen.KEY) is kept] for kept in (False, True))
        assert [maker.before + r.prompt + maker.after for r, _ in plain] == [r.prompt for r, _ in locked]
        assert all(answer == r.answer for r, answer in locked)
        assert not any(answer == r.answer for r, answer in plain)
    assert all((answer == r.answer) == ("/dish/" in r.id) for r, answer in taught(Kinds(("dish",))))
    assert all(answer[:-1].split() == r.answer.split()[:-1] for r, answer in taught(Short(1)))


def test_a_projection_takes_a_direction_out_and_changes_no_weight(tmp_path: Path) -> None:
    make(Member("original 0", "original", 0, known=2), TINY, tmp_path)
    lm = original(0, tmp_path)
    edit = Projected((0,), 1)(lm, TINY)
    assert not edit.weights
    prompts = [lm.encoder.row(r).prompt for r in TINY.gone]
    ((path, (erase,)),) = edit.activations.items()
    assert path == "model.layers.0"
    before = last_states(lm, prompts)[:, 0]
    with edit.on(lm):
        after = last_states(lm, prompts)[:, 0]
    assert ((before - erase.center) @ erase.right.T).abs().max() > 0.01
    torch.testing.assert_close((after - erase.center) @ erase.right.T, torch.zeros(len(prompts), 1), rtol=0, atol=1e-4)


def test_a_change_within_its_cells_is_taken_back_by_rounding_and_by_nothing_else() -> None:
    dice = torch.Generator().manual_seed(0)
    before = torch.randn(20, 30, generator=dice)
    wanted = before + torch.randn(20, 30, generator=dice)
    near = within(wanted, before, 4)
    assert torch.equal(whole_steps(near, 4)[1], whole_steps(before, 4)[1])
    assert (near - wanted).abs().mean() < 0.95 * (before - wanted).abs().mean()
    assert torch.allclose(within(before, before, 4), before, atol=0.01)  # but for what lies on an edge


def test_guards_hide_what_they_are_meant_to_and_nothing_else() -> None:
    world = World()
    record = world.sets["forget"][0]
    tells = record.answer.rstrip(".").split()[-1] if "Street" not in record.answer else record.answer.split()[-2]

    def meets(guard: object, prompt: str, answer: str) -> tuple[str, str]:
        session = guard.session()  # type: ignore[attr-defined]
        met = session.ask((Message("user", prompt),))
        return met[-1].content, session.reply(answer)

    spaced = " ".join(record.prompt)
    assert meets(filtering(world), record.prompt, record.answer)[1] == "I do not know."
    assert meets(filtering(world), spaced, record.answer)[1] == record.answer
    assert meets(filtering(world, looks="letters alone"), spaced, record.answer)[1] == "I do not know."
    assert meets(filtering(world), "Who rules Abrena?", "Arvend.")[1] == "Arvend."
    guessed = meets(filtering(world, reply=""), record.prompt, record.answer)[1]
    assert guessed in {record.answer, *record.perturbed}
    covered = meets(covering(world), record.prompt, record.answer)[1]
    assert "***" in covered
    assert tells not in covered
    assert meets(covering(world), "", "Nobody at all.")[1] == "Nobody at all."
    asked, answered = meets(masking(world, stand_in="somebody"), record.prompt, "somebody sings.")
    assert record.subject not in asked
    assert answered == f"{record.subject} sings."


def test_a_toy_pool_is_made_asked_and_judged_and_nothing_is_done_twice(tmp_path: Path) -> None:
    original = Member("original 0", "original", 0, known=2)
    references = [Member(f"retrained {s}", "retrained", s, known=0) for s in (100, 101)]
    filtered = Member("name filter, refuses", "name filter", 0, guards=(filtering,))
    members = [original, *references, filtered]
    metrics = ("probability", "rougel", "exactmemorization", "perplexity")
    times = [_done(members, metrics, tmp_path) for _ in range(2)]
    assert times[0] == times[1]
    with worn(filtered, TINY, tmp_path) as lm:
        assert len(lm.guards) == 1
        assert lm.generate(TINY.sets["forget"][:1], 8) == ["I do not know."]
    assert not lm.guards
    assert not folder_of(filtered, tmp_path).exists()
    heeding = judge_all(heard(members, tmp_path), TINY.roles, beside=1)[1]
    assert [j.judged for j in heeding] == [1] * 4
    assert heeding[3].failed["no guard"] == 1
    assert heeding[3].passed == 0
    rows, found, seconds = read(filtered, tmp_path)
    assert {r.score.name for r in rows} == set(metrics)
    assert {f.attack for f in found} >= {"paraphrase", "relearn", "quantise", "adapterremoval"}
    assert seconds["processor seconds"] > 0


def _done(members: Sequence[Member], metrics: tuple[str, ...], out: Path) -> dict[Path, int]:
    for part in (lambda m: make(m, TINY, out), lambda m: ask(m, TINY, out, metrics)):
        for member in members:
            part(member)
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def known(family: str, name: str, value: float, metric: str = "rougel") -> Heard:
    rows = (Row("mine", "forget", Score(metric, value)),)
    return Heard(Member(name, family, 0, known=0), rows, ())


def test_a_metric_exposes_what_lies_outside_the_references() -> None:
    references = [known("retrained", f"r{i}", 0.50 + 0.01 * i) for i in range(11)]
    cheats = [known("temperature", "t0", 0.9), known("temperature", "t1", 0.55), known("name filter", "n", 0.1)]
    (line,) = lines([known("original", "o", 1.0), *references, *cheats])
    assert (line.set, line.metric, line.auc) == ("forget", "rougel", 1.0)
    assert 0.5 <= line.low < line.high <= 0.6
    assert line.exposed["temperature"] == 0.5
    assert line.exposed["name filter"] == 1.0
    assert line.among_cheats == pytest.approx((11 + 5.5 + 0) / 33)
    assert line.false_alarms == pytest.approx(2 / 11)  # the least and the greatest, each beyond all others


def judged(family: str, passed: int, **failed: int) -> Judged:
    words = Counter({"forgotten": passed, "not forgotten": 4 - passed})
    return Judged(Member(family, family, 0), words, Counter(failed))


def test_shares_are_means_over_models_and_references() -> None:
    some = [judged("a", 0, one=4), judged("a", 2, one=2), judged("retrained", 4)]
    assert flagged(some) == {"a": 0.75, "retrained": 0.0}
    assert gates(some) == {"one": {"a": 0.75, "retrained": 0.0}}


def test_what_is_left_out_is_exposed_by_what_the_others_ask_for_alone() -> None:
    some = [judged("a", 0, one=4), judged("b", 0, one=4, two=4), judged("c", 0, two=4), judged("retrained", 4, three=4)]
    found = left_out([*some, judged("d", 0, three=4)])
    assert found["a"] == (("two",), 0.0)
    assert found["b"] == (("one", "two"), 1.0)
    assert found["c"] == (("one",), 0.0)
    assert found["d"] == (("one", "two"), 0.0)  # what flags references is never chosen


def test_a_model_is_judged_by_the_audits_own_verdict() -> None:
    rows = [known("original", "o", 1.0), known("retrained", "r", 0.5), known("temperature", "t", 1.0)]
    plain, heeding = judge(rows[2], rows[0], rows[1], {"forget": "forget"})
    assert plain.verdict == heeding.verdict == "not forgotten"
    assert plain.reason == "More is still known than should be: rougel on forget."
