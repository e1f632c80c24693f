"""What cannot be used gets one sentence and exit code 2, says nothing of any record, and leaves the disk as it was."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from driven import Ran, run, tree

from data.test_malformed import CANARY, CASES, Case


def rows(name: str, count: int) -> str:
    return "".join(
        json.dumps({"question": f"{name} {i} of {CANARY}?", "answer": f"It is {CANARY} {i}."}) + "\n"
        for i in range(count)
    )


class Place:
    """A folder with good records and a good model, to be spoiled."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, Path(shutil.copytree(model, folder / "model"))
        self.out = folder / "out"
        self.forget, self.retain = folder / "forget.jsonl", folder / "retain.jsonl"
        self.forget.write_text(rows("What", 3), encoding="utf-8")
        self.retain.write_text(rows("Which", 3), encoding="utf-8")

    def words(self, text: str) -> list[str]:
        """`@name` stands for a path in the folder."""
        return [re.sub(r"@(\w[\w./-]*)", rf"{self.folder}/\1", w) for w in text.split(" ")]

    def refuses(self, *words: object, says: str) -> Ran:
        """The rules for everything that is refused."""
        before = tree(self.folder)
        ran = run(*words)
        assert ran.code == 2, ran.err
        assert ran.last.startswith("unteach: "), ran.err
        assert ran.err.count("unteach: ") == 1
        assert re.search(says, ran.last), ran.last
        sentence = ran.last.removeprefix("unteach: ")
        assert ". " not in sentence, sentence
        assert not sentence.endswith("."), sentence
        assert "; " in sentence, "a remedy follows"
        assert "Traceback" not in ran.err
        assert CANARY.lower() not in (ran.out + ran.err).lower()
        assert ran.out == ""
        assert tree(self.folder) == before
        return ran


@pytest.fixture
def place(tmp_path: Path, newborn: Path) -> Place:
    return Place(tmp_path, newborn)


FORGET = "forget @model --forget @forget.jsonl --retain @retain.jsonl --out @out"
AUDIT = "audit @model --forget @forget.jsonl --retain @retain.jsonl --out @out"


@pytest.mark.parametrize("command", ["forget", "audit"])
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_a_malformed_record_file(case: Case, command: str, place: Place) -> None:
    path = place.folder / case.filename
    path.write_bytes(case.content)
    unit = rf", (line|row) {case.line}: " if case.line is not None else ": "
    says = f"^unteach: {re.escape(str(path))}{unit}.*{re.escape(case.word)}"
    place.refuses(command, place.model, "--forget", path, "--out", place.out, says=says)
    if command == "forget":
        place.refuses(*place.words(FORGET), "--retain", path, says=says)


WORDS = {
    # What is missing.
    "no model": ("forget --forget @forget.jsonl --out @out", "'model' is missing; give MODEL"),
    "no records": ("forget @model --out @out", "'forget' is missing; give --forget"),
    "no place": ("forget @model --forget @forget.jsonl", "'out' is missing; give --out"),
    "nothing but a command": ("audit", "'model' is missing; give MODEL"),
    "no value for a flag": (f"{FORGET} --lr", "Option '--lr' requires an argument; see"),
    "no value for an option of a method": (f"{FORGET} --beta", "--beta needs a value; write --beta VALUE"),
    "a flag for a value": (f"{FORGET} --beta --delta 1", "--beta needs a value; write --beta VALUE"),
    # What there is not.
    "unknown command": ("forgett @model", "No such command 'forgett'; Did you mean 'forget'"),
    "unknown option": (f"{FORGET} --zzz 1", "method 'simnpo' has no option 'zzz'; it has accumulate, batch_size, beta, "),
    "unknown option before the model": (f"forget --zzz 1 {FORGET[7:]}", "has no option 'zzz'; it has"),
    "misspelt flag": ("forget @model --forget @forget.jsonl --rettain @retain.jsonl --out @out", "'rettain'; did you mean 'retain'"),
    "misspelt training flag": (f"{FORGET} --bach-size 4", "no option 'bach_size'; did you mean 'batch_size'"),
    "misspelt option of a method": (f"{FORGET} betta=4", "no option 'betta'; did you mean 'beta'"),
    "an option of another method": (f"{FORGET} --method ga --gamma 1", "method 'ga' has no option 'gamma'"),
    "two models": (f"{FORGET} another", "'another' is not understood; write --option VALUE"),
    "a short option": (f"{FORGET} -x 3", "'-x' is not understood; write --option VALUE"),
    "unknown method": (f"{FORGET} --method npoo", "no method 'npoo'; did you mean 'npo'"),
    "quite another method": (f"{FORGET} --method zzz", "no method 'zzz'; there are alphaedit, altpo, anchor, baeraser, boxed, ceu, "),
    "unknown metric": (f"{FORGET} --metrics rougel,probabilty", "no metric 'probabilty'; did you mean 'probability'"),
    "unknown retain term": (f"{FORGET} --retain-term l2", "no objective 'l2'; there are"),
    "unknown device": (f"{FORGET} --device toaster", "no usable device 'toaster'; choose --device"),
    "a device of no memory": (f"{FORGET} --device meta", "no usable device 'meta'; choose --device"),
    "unknown decay": (f"{FORGET} --decay slow", "option 'decay': .*'linear', 'cosine' or 'constant'; see"),
    "unknown release": (f"{FORGET} --release both", "option 'release': .*'baked', 'adapter' or 'edit'; see"),
    "unknown scope": (f"{FORGET} --scope all", "option 'scope': .*'records', .*; see `unteach forget --help`"),
    "no such records": (f"{FORGET} --holdout @nowhere.jsonl", "nowhere.jsonl: there is no such file; check the path"),
    "a folder for records": (f"{FORGET} --general @model", "model: this is a directory; give one of the files in it"),
    # Values of another type.
    "rate in words": (f"{FORGET} --lr fast", "option 'lr': .*valid number"),
    "epochs in words": (f"{FORGET} --epochs many", "option 'epochs': .*valid number"),
    "half a rank": (f"{FORGET} --rank 3.5", "option 'rank': .*valid integer"),
    "seed in words": (f"{FORGET} --seed x", "option 'seed': .*valid integer"),
    "limit in words": (f"{FORGET} --limit ten", "option 'limit': .*valid integer"),
    "half a token": (f"{FORGET} --max-new 1.5", "option 'max_new': .*valid integer"),
    "an option of the method in words": (f"{FORGET} --beta big", "option 'beta': .*valid number"),
    "not yes or no": (f"{FORGET} show=perhaps", "option 'show': .*valid boolean"),
    # Values out of range.
    "no rate": (f"{FORGET} --lr 0", "lr must lie between 0 and 10"),
    "rate below 0": (f"{FORGET} --lr -1", "lr must lie between 0 and 10"),
    "rate that is no number": (f"{FORGET} --lr nan", "lr must lie between 0 and 10"),
    "no epochs": (f"{FORGET} --epochs 0", "epochs must be greater than 0"),
    "endless epochs": (f"{FORGET} --epochs inf", "option 'epochs': not a finite number"),
    "epochs that are no number": (f"{FORGET} --epochs nan", "epochs must be greater than 0"),
    "no rank": (f"{FORGET} --rank 0", "rank must be greater than 0"),
    "no rows in a batch": (f"{FORGET} --batch-size 0", "batch_size must be greater than 0"),
    "no clipping": (f"{FORGET} --clip -1", "clip must be greater than 0"),
    "decay below 0": (f"{FORGET} --weight-decay -1", "weight_decay must not be negative"),
    "a share above 1": (f"{FORGET} --stop-forget 2", "stop_forget must lie between 0 and 1"),
    "similarity 0": (f"{FORGET} --near 0", "near must lie between 0 and 1"),
    "similarity that is no number": (f"{FORGET} --near nan", "near must lie between 0 and 1"),
    "limit 0": (f"{FORGET} --limit 0", "limit must be at least 1"),
    "answers of no tokens": (f"{FORGET} --max-new 0", "max_new must be at least 1"),
    "an option of the method without end": (f"{FORGET} --beta inf", "option 'beta': not a finite number"),
    "a weight that is no number": (f"{FORGET} --forget-weight nan", "option 'forget_weight': not a finite number"),
    "a weight that blows up": (f"{FORGET} --method ga --forget-weight 1e39", "loss became infinite at step .*; lower --lr"),
    # Layers.
    "layers in words": (f"{FORGET} --tune some", "tune must be lora, full, layers such as 3-5"),
    "layers below 0": (f"{FORGET} --tune -1", "tune must be lora, full, layers such as 3-5"),
    "layers backwards": (f"{FORGET} --tune 2-1", "tune must be lora, full, layers such as 3-5"),
    "a layer the model has not": (f"{FORGET} --tune 0,3", "the model has layers 0 to 2; choose --tune among them"),
    "layers without end": (f"{FORGET} --tune 0-999999999999", "tune must be lora, full, layers such as 3-5"),
    # What contradicts itself.
    "an adapter of all weights": (f"{FORGET} --release adapter --tune full", "--tune full makes no adapter; choose"),
    "an adapter of layers": (f"{FORGET} --release adapter --tune 0-1", "--tune 0-1 makes no adapter; choose"),
    "a floor under nothing": ("forget @model --forget @forget.jsonl --out @out --retain-term none --stop-retain 0.9", "--stop-retain watches .*; give --retain"),
    "nothing to keep": ("forget @model --forget @forget.jsonl --out @out", "'nll' needs records to keep; give --retain FILE"),
    "a retain term that forgets": (f"{FORGET} --retain-term npo", "'npo' makes a model forget .*; choose one of anchor, drift, kl, nll"),
    "a base under a whole model": (f"{FORGET} --base @model", "--base is the model under an adapter.*; leave --base out"),
    "a template without its answer": (f"{FORGET} --template Q{{prompt}}", r"template must hold \{prompt\} and then"),
    "a template backwards": (f"{FORGET} --template {{answer}}{{prompt}}", r"template must hold \{prompt\} and then"),
    "a template that repeats": (f"{FORGET} --template {{prompt}}{{answer}}{{answer}}", "template must hold"),
    # The same rows on both sides.
    "rows to forget and to keep": (f"{FORGET} --retain @forget.jsonl", "lines 1, 2, 3 of .*both forgotten and kept; remove"),
    # What an audit is not told.
    "an audit does not train": (f"{AUDIT} --lr 1", "audit has no option 'lr'; it has api, asked, attacks, base, before"),
    "an audit has no method": (f"{AUDIT} --method ga", "audit has no option 'method'; it has"),
    "an audit misspelt": (f"{AUDIT} --befor @model", "audit has no option 'befor'; did you mean 'before'"),
    "an audit of an unknown metric": (f"{AUDIT} --metrics bleu", "no metric 'bleu'; there are"),
    "an audit against nothing": (f"{AUDIT} --before @nowhere", "nowhere: not a model folder; name a folder"),
    "an audit without a reference": (f"{AUDIT} --retrained @nowhere", "nowhere: not a model folder; name a folder"),
    "a forgetting without its reference": (f"{FORGET} --retrained @nowhere", "nowhere: not a model folder; name a folder"),
    # Other commands.
    "unknown kind": ("list things", "no kind 'things'; there are objective, method"),
    "unknown name": ("show nppo", "nothing called 'nppo'; did you mean 'npo'"),
    "no name": ("show", "Missing argument 'name'; see"),
    "a seed in words": ("demo --out @out --seed x", "Invalid value for '--seed': .*; see"),
    "a demonstration among other things": ("demo --out @model", "model: holds 5 things that no demonstration wrote; name"),
    "a demonstration in a file": ("demo --out @forget.jsonl", "forget.jsonl: this folder cannot be made"),
}  # fmt: skip


@pytest.mark.parametrize("what", WORDS)
def test_words_that_make_no_sense(what: str, place: Place) -> None:
    words, says = WORDS[what]
    place.refuses(*place.words(words), says=says)


OUTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a file": (lambda p: p.write_text("a"), "out", "out: this folder cannot be made|out: a file stands there; choose"),
    "under a file": (lambda p: p.write_text("a"), "out/er", "out/er: this folder cannot be made .*; name another"),
    "not empty": (lambda p: (p.mkdir(), (p / "a.txt").write_text("a")), "out", "out: not empty, .*; choose an empty"),
    "someone's private things": (lambda p: (p / "private" / "letters").mkdir(parents=True), "out", "not empty, and not an unfinished"),
    "a private folder among others": (lambda p: ((p / "private").mkdir(parents=True), (p / "b").mkdir()), "out", "not empty, and not an unfinished"),
    "a finished run": (lambda p: (p.mkdir(), (p / "run.json").write_text("{}")), "out", "result of an earlier run; choose"),
    "a name too long": (lambda _p: None, "x" * 300, "xxx: this folder cannot be made|xxx: cannot be looked into"),
}  # fmt: skip


@pytest.mark.parametrize("what", OUTS)
def test_a_place_that_cannot_be_written_to(what: str, place: Place) -> None:
    prepare, name, says = OUTS[what]
    prepare(place.out)
    place.refuses(*place.words(FORGET), "--out", place.folder / name, says=says)


def test_an_audit_does_not_write_over_the_report_of_a_forgetting(place: Place) -> None:
    place.out.mkdir()
    (place.out / "run.json").write_text("{}")
    place.refuses(*place.words(AUDIT), says="out: holds the result of a forgetting, and its report; choose another")
    place.refuses(*place.words(AUDIT), "--out", place.forget, says="forget.jsonl: this folder cannot be made")


CONFIGS = {
    "empty": (b"", "recipe.yaml: not a list of keys and values; write one"),
    "a list": (b"- lr\n- 1\n", "recipe.yaml: not a list of keys and values"),
    "one word": (b"simnpo\n", "recipe.yaml: not a list of keys and values"),
    "numbers for keys": (b"1: 2\n", "recipe.yaml: not a list of keys and values"),
    "nested": (b"training:\n  lr: 1\n", "recipe.yaml: 'training' holds keys of its own; recipes are flat"),
    "not UTF-8": (b"reason: \xff\xfe\n", "recipe.yaml: not UTF-8; save it"),
    "a NUL": (b"reason: a\0b\n", "recipe.yaml: not valid YAML; write"),
    "broken": (b"lr: 1\nreason: [a\nlimit: 3\n", "recipe.yaml, line 3: not valid YAML; write"),
    "a tab": (b"lr: 1\n\tlimit: 3\n", "recipe.yaml, line 2: not valid YAML"),
    "code": (b"reason: !!python/object/apply:os.mkdir [pwned]\n", "recipe.yaml, line 1: not valid YAML"),
    "a Python name": (b"reason: !!python/name:os.system\n", "recipe.yaml, line 1: not valid YAML"),
    "an unknown tag": (b"reason: !secret x\n", "recipe.yaml, line 1: not valid YAML"),
    "a truth that is none": (b"show: !!bool perhaps\n", "recipe.yaml: not valid YAML"),
    "a day that is none": (b"id: 2020-13-45\n", "recipe.yaml: not valid YAML"),
    "nested without end": (b"reason: " + b"[" * 1500 + b"\n", "recipe.yaml: not valid YAML"),
    "a bomb": (b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nreason: [*c,*c]\n", "option 'reason': .*valid string"),
    "a list for a path": (b"retain: [a.jsonl]\n", "option 'retain': .*valid string"),
    "a number for a path": (b"retain: 3\n", "option 'retain': .*valid string"),
    "a date for a text": (b"id: 2020-01-02\n", "option 'id': .*valid string"),
    "options in a list": (b"options: [beta]\n", "option 'options': not a list of keys and values; write them"),
    "unknown key": (b"learning_rate: 1\n", "no option 'learning_rate'; it has"),
    "unknown key among options": (b"options: {betta: 1}\n", "no option 'betta'; did you mean 'beta'"),
    "unknown method": (b"method: simnpoo\n", "no method 'simnpoo'; did you mean 'simnpo'"),
    "code by the back door": (b"plugin: evil.py\n", "no option 'plugin'; it has"),
    "a place with a NUL": (b'out: "a\\0b"\n', "cannot be looked into|cannot be made"),
    "an escape in a path": (b'retain: "\\e[2J.jsonl"\n', r"\\x1b\[2J.jsonl: there is no such file"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONFIGS)
def test_a_recipe_that_is_none(what: str, place: Place) -> None:
    content, says = CONFIGS[what]
    (place.folder / "recipe.yaml").write_bytes(content)
    words = place.words("forget @model --forget @forget.jsonl --config @recipe.yaml")
    for key, path in (("retain", place.retain), ("out", place.out)):
        if not content.startswith(f"{key}:".encode()):  # a flag would go before it
            words += [f"--{key}", str(path)]
    place.refuses(*words, says=says)


def test_a_recipe_that_is_no_file(place: Place) -> None:
    for name in ("nowhere.yaml", "model"):
        place.refuses(
            *place.words(FORGET), "--config", place.folder / name, says=f"{name}: there is no such file; name"
        )


PLUGINS = {
    "missing": (None, "mine.py: no such Python file; name one"),
    "failing": ("import os\n\ndef f():\n    raise ValueError('CANARY7391')\n\nf()\n", "mine.py, line 4: the plugin stopped with ValueError; mend"),
    "not Python": ("x = = 1\n", "mine.py, line 1: the plugin stopped with SyntaxError; mend"),
    "leaving": ("import sys\nsys.exit(0)\n", "mine.py, line 2: the plugin stopped with SystemExit; mend"),
    "a thief": ("from unteach.registry import objective\n\n@objective('npo')\nclass NPO: ...\n", "objective 'npo' is already registered by unteach.*; choose"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLUGINS)
def test_a_plugin_that_does_not_load(what: str, place: Place) -> None:
    content, says = PLUGINS[what]
    if content is not None:
        (place.folder / "mine.py").write_text(content)
    place.refuses(*place.words(FORGET), "--plugin", place.folder / "mine.py", says=says)


def test_replacement_answers_that_are_none(place: Place) -> None:
    (place.folder / "blank.txt").write_text("\n \n")
    (place.folder / "latin.txt").write_bytes(b"no \xe9\n")
    words = [*place.words(FORGET), "--method", "idk", "--instead"]
    place.refuses(*words, place.folder / "blank.txt", says="blank.txt: holds no replacement answers; write one a line")
    for name in ("latin.txt", "nowhere.txt", "model"):
        place.refuses(*words, place.folder / name, says=f"{name}: cannot be read as text; give one")
