"""Membership inference and the privacy leak as open-unlearning measures them, and what it leaves out."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tofu_models import MergingEncoder, opened, perturbed05

from unteach.audit.evidence import Evidence
from unteach.audit.statistics import auc
from unteach.lm.batch import Row
from unteach.lm.encoder import Encoder, Template
from unteach.lm.model import LM
from unteach.measure.answers import loss
from unteach.registry import build
from unteach.schema import Record, Score

NEAR = {"rel": 1e-4, "abs": 1e-6}
MODELS = {"original": "full", "retrained": "retain", "perturbed05": "perturbed05"}
LOST = {"mialoss": "mia_loss", "miazlib": "mia_zlib", "miareference": "mia_reference"}  # by the loss
TOKENWISE = {"miamink": "mia_min_k", "miaminkpp": "mia_min_k_plus_plus"}  # by single tokens


def items(part: dict[str, Any]) -> list[float]:
    table = part["value_by_index"]
    return [table[str(i)]["score"] for i in range(len(table))]


def scored(name: str, evidence: Evidence, **options: Any) -> Score:
    return build("metric", name, options)(evidence, "forget")


def of(part: str, score: Score) -> list[float]:
    return [v for label, v in score.per_record.items() if label.startswith(part)]


def agrees(score: Score, log: dict[str, Any]) -> None:
    for part in ("forget", "holdout"):
        assert of(part, score) == pytest.approx(items(log[part]), **NEAR)
    assert score.value == pytest.approx(log["auc"], **NEAR)


# TOFU


@pytest.mark.parametrize("model", MODELS)
def test_min_k_plus_plus_and_the_privacy_leak(model: str, asked: dict[str, Evidence], logs: dict[str, Any]) -> None:
    agrees(scored("miaminkpp", asked[model], k=0.4), logs[model]["mia_min_k_plus_plus"])
    leak = scored("privleak", asked[model])
    assert leak.value == pytest.approx(logs[model]["privleak"]["agg_value"], **NEAR)
    assert leak.low <= leak.value <= leak.high


@pytest.mark.parametrize("model", ["original", "perturbed05"])
def test_the_loss_beside_the_retrained_models(model: str, asked: dict[str, Evidence], logs: dict[str, Any]) -> None:
    found, log = scored("miareference", asked[model]), logs[model]["mia_reference"]
    rounding = {"rel": 1e-4, "abs": 1.5e-5}  # differences of two losses near 10 in float32
    for part in ("forget", "holdout"):
        assert of(part, found) == pytest.approx(items(log[part]), **rounding)
    assert found.value == pytest.approx(log["auc"], **NEAR)


@pytest.mark.parametrize("model", MODELS)
def test_the_loss_beside_the_compressed_size(
    model: str, asked: dict[str, Evidence], logs: dict[str, Any], sets: dict[str, list[Record]], full: LM
) -> None:
    """Their text is what the measured tokens spell: without a first quote that a token across the border takes.

    The absolute tolerance is the rounding of their losses below 0.01 (6e-6) over a hundred bytes.
    """
    found, log = scored("miazlib", asked[model]), logs[model]["mia_zlib"]
    merging, spelt = MergingEncoder(full.tokenizer, full.template, full.max_length), {}
    for part in ("forget", "holdout"):
        whole = [full.encoder.row(r) == merging.row(r) for r in sets[part]]
        assert whole.count(False) == 2
        texts = [r.answer[0 if w else 1 :] for r, w in zip(sets[part], whole, strict=True)]
        losses = [loss(a) for a in asked[model].answers(part)]
        spelt[part] = [lost / len(zlib.compress(t.encode())) for lost, t in zip(losses, texts, strict=True)]
        assert spelt[part] == pytest.approx(items(log[part]), rel=1e-4, abs=6e-8)
        assert [a == b for a, b in zip(spelt[part], of(part, found), strict=True)].count(False) <= 2
    assert auc(spelt["forget"], spelt["holdout"]) == pytest.approx(log["auc"], **NEAR)
    assert (found.value, log["auc"]) == {"retrained": (0.586875, 0.585625)}.get(model, (log["auc"],) * 2)


def test_the_norm_of_the_gradient(shared: Path, sets: dict[str, list[Record]], logs: dict[str, Any]) -> None:
    """Theirs is the gradient of the loss without the end token, in training mode; these models drop nothing out."""
    lm, rows = perturbed05(shared), {name: sets[name] for name in ("forget", "holdout")}
    whole = scored("miagradnorm", Evidence(lm, {k: v[:5] for k, v in rows.items()}, name="whole"))
    lm.encoder.closing = ()
    log = logs["perturbed05"]["mia_gradnorm"]
    agrees(scored("miagradnorm", Evidence(lm, rows, name="without the end")), log)
    assert whole.per_record["forget/0000"] == pytest.approx(2.4600, abs=1e-4)  # of the loss that `mialoss` has
    assert items(log["forget"])[0] == pytest.approx(2.6740, abs=1e-4)


# MUSE: plain texts, which have no end token


class Shortened(Encoder):
    """Rows without their last token: what open-unlearning takes for an end token is the last word here."""

    def row(self, record: Record) -> Row:
        whole = super().row(record)
        return Row(whole.ids[:-1], whole.start)


@pytest.fixture(scope="module")
def texts(golden: Path) -> dict[str, list[Record]]:
    found = {}
    for part in ("forget", "holdout"):
        lines = (golden / "data_muse" / f"privleak_{part}.json").read_text(encoding="utf-8").splitlines()
        found[part] = [Record(str(i), "", json.loads(line)["text"]) for i, line in enumerate(lines)]
    return found


@pytest.fixture(scope="module")
def told(shared: Path, texts: dict[str, list[Record]]) -> dict[tuple[str, type], Evidence]:
    """Every model on the plain texts, whole and shortened; asked once for all metrics."""
    plain, found = Template("{prompt}{answer}", eos=False), {}
    for kind in (Encoder, Shortened):
        for name in ("retrained", "original", "perturbed05"):
            lm = perturbed05(shared) if name == "perturbed05" else opened(shared, FOLDERS[name])
            lm.encoder = kind(lm.tokenizer, plain, lm.max_length)
            found[name, kind] = Evidence(lm, texts, name=name, retrained=found.get(("retrained", kind)))
            found[name, kind].gather([(frozenset({"holdout"}), "forget")])
    return found


FOLDERS = {"retrained": "tiny_tofu_llama_retain90", "original": "tiny_tofu_llama"}


@pytest.fixture(scope="module")
def muse_logs(golden: Path) -> dict[str, Any]:
    return {
        ours: json.loads((golden / f"eval_muse_{theirs}.json").read_text(encoding="utf-8"))
        for ours, theirs in MODELS.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_plain_texts(model: str, told: dict[Any, Evidence], muse_logs: dict[str, Any]) -> None:
    log = muse_logs[model]
    for ours, theirs in LOST.items():
        if (model, ours) != ("retrained", "miareference"):
            agrees(scored(ours, told[model, Encoder]), log[theirs])
    for ours, theirs in TOKENWISE.items():
        agrees(scored(ours, told[model, Shortened], k=0.4), log[theirs])
    agrees(scored("miagradnorm", told[model, Shortened]), log["mia_gradnorm"])
    leak = scored("privleak", told[model, Shortened])
    assert leak.value == pytest.approx(log["privleak"]["agg_value"], **NEAR)
    assert leak.low <= leak.value <= leak.high


def test_the_last_word_of_a_plain_text_counts_here_and_not_there(
    told: dict[Any, Evidence], muse_logs: dict[str, Any]
) -> None:
    def pairs() -> Iterator[tuple[float, float]]:
        for model in MODELS:
            ours = scored("miamink", told[model, Encoder], k=0.4).value
            yield ours, muse_logs[model]["mia_min_k"]["auc"]

    assert list(pairs()) == [(0.96484375, 0.94921875), (0.5, 0.50390625), (0.9765625, 0.96484375)]
    assert scored("privleak", told["original", Encoder]).value == pytest.approx(100 * (0.03515625 / 0.5 - 1))
    assert muse_logs["original"]["privleak"]["agg_value"] == pytest.approx(-89.76378, abs=1e-5)
