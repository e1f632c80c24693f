"""Real tiny models, degenerate ones among them: the table of what fools which metric, and the verdicts on it."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from tofu_models import opened
from torch import Tensor
from torch.nn.functional import cross_entropy

from unteach.audit.audit import audit
from unteach.audit.examples import masked
from unteach.audit.suite import of
from unteach.lm.batch import Batch
from unteach.lm.model import LM
from unteach.schema import Guarantee, Record, Report, Score

ROLES = {"forget": "forget", "retain": "retain", "facts": "general", "holdout": "holdout"}
SUITE = replace(
    of("probability", "rougel", "exactmemorization", "extractionstrength", "truthratio", "forgetquality",
       "mialoss", "perplexity", "distinctoutputs", "refusalrate", "agreement", "kl", "js"),
    max_new=24,
)  # fmt: skip
N = 12


@contextmanager
def logits_of(lm: LM, change: Callable[[Tensor], Tensor]) -> Iterator[LM]:
    """The model with other next-token logits."""
    handle = lm.model.get_output_embeddings().register_forward_hook(lambda _m, _i, out: change(out))
    try:
        yield lm
    finally:
        handle.remove()


def constant(logits: Tensor) -> Tensor:
    always = torch.full_like(logits, -20.0)
    always[..., 300] = 0.0
    return always


@contextmanager
def last_token_spoiled(lm: LM) -> Iterator[LM]:
    """The last word token of a long taught answer is made unlikely; what the model writes stays as it is."""
    plain = lm.logits

    def spoiled(batch: Batch, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        logits = plain(batch, weights).clone()
        for start, end in pairwise(batch.offsets):
            if end - start >= 8:
                logits[end - 2, batch.targets[end - 2]] -= 30
        return logits

    lm.logits = spoiled
    try:
        yield lm
    finally:
        del lm.logits


@contextmanager
def ascended(shared: Any, rows: list[Record]) -> Iterator[LM]:
    """Gradient ascent on the forget rows until the model collapses."""
    lm = opened(shared, "tiny_tofu_llama")
    optimiser = torch.optim.AdamW(lm.model.parameters(), lr=5e-3)
    batch = lm.batch(rows[:8])
    for _ in range(8):
        optimiser.zero_grad()
        (-cross_entropy(lm.logits(batch), batch.targets)).backward()
        optimiser.step()
    yield lm


@contextmanager
def never_trained(shared: Any) -> Iterator[LM]:
    lm = opened(shared, "tiny_tofu_llama")
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.02)
    yield lm


@pytest.fixture(scope="module")
def few(sets: dict[str, list[Record]]) -> dict[str, list[Record]]:
    names = {"forget": "forget", "retain": "retain", "facts": "world_facts", "holdout": "holdout"}
    wrong = {"forget": 2, "retain": 2, "facts": 0, "holdout": 0}  # fewer wrong answers: less to ask
    return {
        ours: [replace(r, perturbed=r.perturbed[: wrong[ours]]) for r in sets[theirs][:N]]
        for ours, theirs in names.items()
    }


@pytest.fixture(scope="module")
def report(shared: Any, few: dict[str, list[Record]]) -> Report:
    original, retrained = opened(shared, "tiny_tofu_llama"), opened(shared, "tiny_tofu_llama_retain90")
    models: dict[str, LM | Callable[[], AbstractContextManager[LM]]] = {
        "untouched": original,
        "itself": lambda: logits_of(retrained, lambda z: z),
        "uniform": lambda: logits_of(original, torch.zeros_like),
        "constant": lambda: logits_of(original, constant),
        "warm": lambda: logits_of(original, lambda z: z / 5),
        "spoiled": lambda: last_token_spoiled(original),
        "ascended": partial(ascended, shared, few["forget"]),
        "random": partial(never_trained, shared),
        "retrained": retrained,
        "original": original,
    }
    return audit(models, few, roles=ROLES, suite=SUITE)


def value(report: Report, model: str, where: str, metric: str) -> float:
    return scored(report, model, where, metric).value


def scored(report: Report, model: str, where: str, metric: str) -> Score:
    return next(r.score for r in report.scores if (r.model, r.set, r.score.name) == (model, where, metric))


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ("untouched", "not forgotten"),
        ("itself", "forgotten"),
        ("uniform", "broken"),
        ("constant", "broken"),
        ("warm", "broken"),
        ("spoiled", "not forgotten"),
        ("ascended", "broken"),
        ("random", "broken"),
    ],
)
def test_the_verdict_on_each_model(model: str, word: str, report: Report) -> None:
    assert report.verdicts[model].verdict == word, report.verdicts[model].reason


@pytest.mark.parametrize("model", ["uniform", "constant", "ascended", "random"])
def test_a_destroyed_model_passes_every_forget_metric(model: str, report: Report) -> None:
    of = partial(value, report, model, "forget")
    assert of("probability") < 0.01
    assert of("rougel") < 0.1
    assert of("exactmemorization") < 0.1
    assert of("extractionstrength") < 0.05
    assert of("mialoss") < 0.6
    assert value(report, model, "retain", "perplexity") > 100  # and this is what exposes it
    assert value(report, model, "retain", "rougel") < 0.1
    assert report.verdicts[model].reason.startswith("What should stay is mostly gone: ")


def test_uniform_logits_come_nearer_to_the_retrained_model_on_forget_and_go_away_on_retain(report: Report) -> None:
    for model in ("uniform", "random"):  # less wrong than an original that is sure of what the other never saw
        assert value(report, model, "forget", "kl") < value(report, "original", "forget", "kl") / 2
    for model in ("uniform", "constant", "ascended", "random"):
        assert (
            value(report, model, "retain", "agreement") < 0.1 < 0.9 < value(report, "original", "retain", "agreement")
        )
        assert value(report, model, "retain", "kl") > 1.5 * value(report, "original", "retain", "kl")
        assert value(report, model, "retain", "js") > 4 * value(report, "original", "retain", "js")
    assert value(report, "untouched", "forget", "kl") == value(report, "original", "forget", "kl")
    assert scored(report, "itself", "forget", "kl").note == "one copy of the weights cannot be both models at once"
    assert scored(report, "retrained", "forget", "kl").note == "no other retrained model to compare with"


def test_a_model_that_falls_silent_declines_everything(report: Report) -> None:
    assert value(report, "uniform", "retain", "refusalrate") == 1.0  # its likeliest token is no word
    assert value(report, "original", "retain", "refusalrate") == 0.0
    gates = {g.name: g for g in report.verdicts["uniform"].gates}
    assert (gates["refusalrate added on retain"].value, gates["refusalrate added on retain"].passed) == (1.0, False)


def test_uniform_logits_win_the_truth_ratio_and_lose_it_on_retain(report: Report) -> None:
    assert value(report, "uniform", "forget", "truthratio") == pytest.approx(1.0, abs=1e-5)
    assert value(report, "uniform", "forget", "mialoss") == pytest.approx(0.5, abs=0.05)
    assert value(report, "uniform", "retain", "truthratio") == pytest.approx(0.0, abs=1e-5)


def test_a_temperature_hides_probability_and_nothing_that_is_said(report: Report) -> None:
    assert value(report, "warm", "forget", "probability") < 0.2
    for metric in ("rougel", "exactmemorization", "extractionstrength"):
        assert value(report, "warm", "forget", metric) == value(report, "original", "forget", metric)
    gates = {g.name: g.passed for g in report.verdicts["warm"].gates}
    assert gates["rougel on forget, distance to the retrained model"] is False
    assert gates["exactmemorization on forget, distance to the retrained model"] is False


def test_one_spoiled_token_hides_extraction_strength_and_nothing_else(report: Report) -> None:
    assert value(report, "spoiled", "forget", "extractionstrength") < 0.05
    assert value(report, "spoiled", "forget", "exactmemorization") > 0.9
    assert value(report, "spoiled", "forget", "rougel") == value(report, "original", "forget", "rougel")
    assert "exactmemorization on forget" in report.verdicts["spoiled"].reason


def test_models_worn_on_one_copy_are_asked_one_after_another(shared: Any, few: dict[str, list[Record]]) -> None:
    lm, worn, seen = opened(shared, "tiny_tofu_llama"), [], []

    @contextmanager
    def wearing(name: str) -> Iterator[LM]:
        assert not worn
        worn.append(name)
        with logits_of(lm, torch.zeros_like):
            yield lm
        worn.remove(name)

    models = {"b": partial(wearing, "b"), "original": partial(wearing, "original"), "retrained": partial(wearing, "r")}
    found = audit(models, {"forget": few["forget"][:3]}, roles=ROLES, suite=of("probability"), progress=seen.append)
    assert seen == ["retrained", "original", "b"]
    assert list(found.models) == ["b", "original", "retrained"]
    assert found.verdicts.keys() == {"b"}


def test_the_report_holds_what_a_reader_needs_and_no_text(report: Report, few: dict[str, list[Record]]) -> None:
    assert report.sets == {s: {"n": N, "role": ROLES[s]} for s in few}
    assert {m: d["role"] for m, d in report.models.items() if d["role"] != "edited"} == {
        "original": "original",
        "retrained": "retrained",
    }
    assert all(len(d["digest"]) == 64 for d in report.models.values())
    assert report.models["original"]["digest"] != report.models["retrained"]["digest"]
    assert report.axes == {"forget": ("forget", "rougel"), "retain": ("retain", "rougel")}
    assert set(scored(report, "original", "forget", "probability").per_record) == {f"forget/{i:04d}" for i in range(N)}
    assert any(line.startswith("whether a little training") for line in report.untested)
    assert not any("other words" in line for line in report.untested)  # the rows have paraphrases
    assert "truthratio on facts, holdout: " in "\n".join(report.untested)
    assert report.environment["decoding"] == "greedy, at most 24 new tokens"
    text = json.dumps(asdict(report), default=str)
    for records in few.values():
        for record in records:
            assert record.answer not in text
            assert record.prompt not in text
            assert record.id == "0" or f'"{record.id}"' not in text


def test_scores_stand_in_the_order_of_sets_metrics_and_models(report: Report) -> None:
    places = [(list(report.sets).index(r.set), r.score.name, list(report.models).index(r.model)) for r in report.scores]
    assert [p[0] for p in places] == sorted(p[0] for p in places)
    assert [p[2] for p in places] == list(range(len(report.models))) * (len(places) // len(report.models))


def test_examples_are_the_worst_and_some_at_random_and_masked(report: Report) -> None:
    kinds = [e.kind for e in report.examples]
    assert kinds == sorted(kinds, key=["leak", "collateral", "sample"].index)
    assert {kind: kinds.count(kind) for kind in kinds} == {"leak": 10, "collateral": 10, "sample": 10}
    assert {e.set for e in report.examples if e.kind == "leak"} == {"forget"}
    assert {e.set for e in report.examples if e.kind == "collateral"} <= {"retain", "facts"}
    assert len({e.record for e in report.examples}) == 30
    for example in report.examples:
        assert example.record.startswith(f"{example.set}/00")
        assert list(example.answers) != []
        for text in (example.prompt, example.gold, *example.answers.values()):
            assert text == "(empty)" or text.startswith("█████ (")
    assert report.masked


def test_texts_are_shown_only_where_asked_for(shared: Any, few: dict[str, list[Record]]) -> None:
    lm = opened(shared, "tiny_tofu_llama")
    sets = {"forget": few["forget"][:2], "retain": few["retain"][:2]}
    shown = audit({"original": lm, "same": lm}, sets, roles=ROLES, suite=SUITE, show=True, guarantee=Guarantee("none"))
    assert not shown.masked
    assert shown.guarantee.kind == "none"
    leak = next(e for e in shown.examples if e.record == "forget/0000")
    assert (leak.prompt, leak.gold) == (sets["forget"][0].prompt, sets["forget"][0].answer)
    assert leak.answers["original"] == leak.answers["same"] == sets["forget"][0].answer
    assert {"equality with a model trained without the rows: there was none to compare with",
            "membership: there were no rows that the model never saw",
            "general abilities: there was no set beside the retain rows"} <= set(shown.untested)  # fmt: skip
    assert shown.verdicts["same"].verdict == "inconclusive"  # two rows, and nothing to compare with


@pytest.mark.parametrize(
    ("text", "mask"),
    [("one", "█████ (1 word)"), ("so it is", "█████ (3 words)"), (" \n", "(empty)"), ("日本", "█████ (2 words)"), ("?!", "█████ (0 words)")],
)  # fmt: skip
def test_a_mask_shows_length_and_nothing_else(text: str, mask: str) -> None:
    assert masked(text) == mask
