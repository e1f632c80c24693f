"""The defining properties of the attacks that compare a row with its neighbours, and a model with itself behind unseen rows."""

import pytest
from shadowed import SETS, UNSEEN, score
from told import ToldLM, answer
from torch.nn.functional import cross_entropy

import worlds
from unteach.audit.evidence import Evidence
from unteach.audit.statistics import auc
from unteach.lm.model import LM
from unteach.measure.neighbours import neighbour_gap
from unteach.registry import build
from unteach.schema import InputError, Record


def test_mianeighbourhood_takes_away_what_is_hard_about_the_text_itself(lm: LM) -> None:
    sets = {"forget": list(worlds.FORGET), "holdout": list(UNSEEN)}
    asked_of = Evidence(lm, sets, name="real")
    found = score("mianeighbourhood", asked_of, n=12, seed=4)
    assert found.value == 1.0
    assert list(found.per_record.values()) == pytest.approx(
        neighbour_gap(lm, [*worlds.FORGET, *UNSEEN], 12, 4), abs=1e-4
    )
    assert found.note.startswith("12 neighbours; ")
    asked_of.close()
    assert score("mianeighbourhood", asked_of, n=12, seed=4).value == 1.0
    told = Evidence(ToldLM(lambda _: answer(0.5)), SETS, name="told")  # type: ignore[arg-type]
    told.observable = False
    assert score("mianeighbourhood", told).note == "not observable behind a guard or a server"
    with pytest.raises(InputError, match="option 'n' of mianeighbourhood is 0; it is a number of neighbours"):
        build("metric", "mianeighbourhood", {"n": 0})


def test_recall_is_the_ratio_of_losses_behind_unseen_rows_and_alone(lm: LM) -> None:
    sets = {"forget": list(worlds.FORGET), "holdout": list(UNSEEN)}
    found = score("recall", Evidence(lm, sets, name="real"), shots=1)
    assert found.per_record.keys() == {
        *(f"forget/{i:04d}" for i in range(4)),
        *(f"holdout/{i:04d}" for i in range(1, 5)),
    }
    text, record = f"{UNSEEN[0].prompt}\n{UNSEEN[0].answer}\n{worlds.FORGET[2].prompt}", worlds.FORGET[2]
    lost = []
    for prompt in (text, record.prompt):
        batch = lm.batch([Record("x", prompt, record.answer)])
        lost.append(float(cross_entropy(lm.logits(batch), batch.targets).detach()))
    assert found.per_record["forget/0002"] == pytest.approx(-lost[0] / lost[1], rel=1e-3)
    members, others = ([v for k, v in found.per_record.items() if k.startswith(s)] for s in ("forget", "holdout"))
    assert found.value == auc(members, others) == 1.0  # a learned row has all to lose behind other text
    assert found.note.startswith("prefix of 1; ")
    none = score("recall", Evidence(lm, sets, name="real"), shots=5)
    assert (none.value, none.note) == (None, "5 holdout rows leave none beside a prefix of 5")
    alone = score("recall", Evidence(lm, {"forget": sets["forget"]}, name="real"))
    assert (alone.value, alone.note) == (None, "no holdout rows to compare with")
    with pytest.raises(InputError, match="option 'shots' of recall is 0; it is a number of holdout rows"):
        build("metric", "recall", {"shots": 0})
