"""Tasks of lm-evaluation-harness that would run code, or that cannot be asked, are refused in one sentence."""

import sys
from pathlib import Path

import pytest
from harness_tasks import asked, written

from unteach import registry
from unteach.audit.benchmarks.lmeval import harness
from unteach.audit.harness import HarnessLM
from unteach.lm.model import LM
from unteach.schema import InputError

pytestmark = pytest.mark.usefixtures("cache")
REFUSED = {
    "function": (
        "doc_to_text: !function stolen.text",
        "line 1: holds a tag such as !function; a task of your own is data",
    ),
    "include": ("include: inner.yaml", "inner.yaml, line 1: holds a tag such as !function"),
    "unsafe": ("unsafe_code: true", "holds 'unsafe_code', and a task of your own is data and runs no code"),
    "class": ("group: g\ntask:\n  - class: Stolen", "holds 'class'"),
    "metric": ("metric_list:\n  - metric: a/metric", "holds a metric that lm-evaluation-harness does not have"),
    "hub": ("metric_list:\n  - metric: bleu\n    hf_evaluate: true", "holds 'hf_evaluate'"),
    "broken": ("task: [", "cannot be read as YAML"),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=[*REFUSED])
@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_would_run_code_is_refused(
    llama: LM, tmp_path: Path, text: str, sentence: str, folder: bool
) -> None:
    (tmp_path / "stolen.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    (tmp_path / "inner.yaml").write_text("doc_to_text: !function stolen.text", encoding="utf-8")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text(text.replace("inner", "../inner"), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        harness(llama, str(tmp_path / "tasks" / ("" if folder else "mine.yaml")))
    assert sentence in str(refused.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["doc_to_text", "doc_to_choice", "gen_prefix"])
def test_a_template_cannot_reach_python(llama: LM, tmp_path: Path, where: str) -> None:
    reach = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    folder = written(tmp_path / "tasks", "choice", num_fewshot=0, **{where: reach})
    with pytest.raises(InputError, match=r"\(SecurityError\)"):
        harness(llama, str(folder))


def test_what_cannot_be_asked_is_refused_in_a_sentence(llama: LM, tmp_path: Path) -> None:
    drawn = written(tmp_path / "drawn", "free", generation_kwargs={"until": ["."], "do_sample": True})
    beams = written(tmp_path / "beams", "free", generation_kwargs={"until": ["."], "num_beams": 4})
    lost = written(tmp_path / "lost", "free")
    (lost / "rows.jsonl").unlink()
    wrong = written(tmp_path / "wrong", "free", doc_to_text="{{qustion}}")
    stray = written(tmp_path / "stray", "choice", doc_to_target="stray")
    (tmp_path / "empty").mkdir()
    long = {"until": [], "max_gen_toks": 4}
    for tasks, sentence in {
        str(drawn): "a task draws its answers, and answers here are greedy",
        str(beams): "the option 'num_beams', which is not known here",
        str(lost): r"cannot be loaded \(FileNotFoundError.*check names, files and the network",
        str(wrong): r"cannot be loaded \(UndefinedError: 'qustion' is undefined\)",
        str(stray): r"a row does not fit its task \(IndexError\)",
        str(tmp_path / "empty"): "holds no YAML file of a task",
        str(tmp_path / "gone.yaml"): "there is no such file or folder",
        " , ": "no task was named",
    }.items():
        with pytest.raises(InputError, match=sentence):
            harness(llama, tasks)
    with pytest.raises(InputError, match="longer than the 96 tokens that the model reads; leave its row out"):
        HarnessLM(llama).loglikelihood(asked(("a", "b" * 300)))
    with pytest.raises(InputError, match="without a token of its own"):
        HarnessLM(llama).loglikelihood(asked(("a", "")))
    assert HarnessLM(llama).generate_until(asked(("What is " * 99, long)))


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_LIVE", {k: v for k, v in registry._LIVE.items() if k[1] != "lmeval"})
    monkeypatch.delitem(sys.modules, "unteach.audit.benchmarks.lmeval")
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.registry", None)
    with pytest.raises(InputError, match=r"^tasks of .* need the package 'lm_eval.*'; pip install 'unteach\[eval\]'$"):
        registry.build("benchmark", "lmeval", {"tasks": "arc_easy"})
