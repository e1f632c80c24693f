"""Attacks by questions: on a model that tells only when it is asked in a certain way, and on one that never knew."""

from base64 import b64decode
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from asking import ROWS, TURNS, Around, attacked, brings_back
from told import ToldLM, answer
from torch import Tensor

import worlds
from unteach.audit.attacks import obfuscate, roleplay
from unteach.audit.attacks.asking import laid_out, reworded
from unteach.audit.attacks.crosslingual import script, translated
from unteach.audit.attacks.multiturn import conversed
from unteach.audit.attacks.optionforcing import named_in
from unteach.audit.target import Attempt, Target, mean
from unteach.lm.drawing import Draws
from unteach.lm.model import LM
from unteach.registry import build
from unteach.schema import InputError, Message, Record

NAMES = ["affirmative", "roleplay", "fewshot", "manyshot", "obfuscate", "optionforcing", "paraphrase", "sampling",
         "multiturn", "crosslingual"]  # fmt: skip
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"


def test_affirmative_brings_back_what_only_the_bare_question_does_not(shy: Target, newborn: Target) -> None:
    found = brings_back(shy, newborn, "affirmative")
    assert [x for x, _ in found.curve] == [1, 2, 3, 4]
    assert found.note.startswith("4 beginnings asked for; the mean of all tries is 0.")
    only = attacked(shy, "affirmative", forms=("{prompt} Sure, here is the answer:",))
    assert mean(only.values) == pytest.approx(found.curve[0][1])


def test_roleplay_brings_back_what_the_model_says_only_as_somebody_else(shy: Target, newborn: Target) -> None:
    found = brings_back(shy, newborn, "roleplay")
    assert len(found.curve) == len(roleplay.FRAMES)
    assert list(found.curve) == sorted(found.curve), "the best of more tries is no worse"


def test_obfuscate_passes_a_filter_that_knows_the_plain_name(guarded: Any) -> None:
    """The filter stops every town's name; the model behind it reads digits for letters, and nothing else."""
    leet = {r.prompt.translate(obfuscate.DIGITS): r.prompt for r in worlds.RECORDS}
    towns = tuple(worlds.TOWNS)
    target = guarded(Around(asks=lambda text: "?" if any(t in text for t in towns) else leet.get(text, "?")))
    found = attacked(target, "obfuscate")
    assert mean(target.told()) < 0.3
    assert mean(found.values) > 0.9
    assert "leetspeak 1.00" in found.note
    assert mean(attacked(target, "obfuscate", kinds=("typos", "base64")).values) < 0.3
    assert [x for x, _ in found.curve] == [1, 2, 3, 4, 5]


def test_the_kinds_of_writing() -> None:
    text = "What is Tarn Hollow known for?"
    written = {kind: write(text, 7) for kind, write in obfuscate.KINDS.items()}
    assert written["case"] == "wHAT IS tARN hOLLOW KNOWN FOR?"
    assert written["leetspeak"] == "Wh47 15 74rn H0ll0w kn0wn f0r?"
    assert written["spaces"].replace(" ", "") == text.replace(" ", "")
    assert b64decode(written["base64"].split()[-1]).decode() == text
    for old, new in zip(text.split(), written["typos"].split(), strict=True):
        assert sorted(old) == sorted(new)
        assert (old[0], old[-1]) == (new[0], new[-1])
        assert sum(a != b for a, b in zip(old, new, strict=True)) in (0, 2)
    assert written["typos"] != text
    assert len({obfuscate.typos(text, seed) for seed in range(99)}) == 3 * 2, "Hollow has three places, known two"
    told_lm = ToldLM(lambda _: answer(0.5))
    row = Record("r", "他是谁", "王五")
    assert attacked(Target(told_lm, [row]), "obfuscate", kinds=("case", "typos")).values == ()  # type: ignore[arg-type]
    assert told_lm.prompts == [[], []], "what is left as it was is not asked"


def test_optionforcing_gives_a_model_of_one_letter_no_more_than_chance() -> None:
    def forced(writes: Any, *rows: Record) -> Attempt:
        return attacked(Target(ToldLM(lambda _: answer(0.5), writes), rows), "optionforcing")  # type: ignore[arg-type]

    def knows(row: Record) -> str:
        return next(line[:1] for line in row.prompt.split("\n") if line.endswith("baker."))

    four = Record("a", "What does Ada do?", "She is a baker.", perturbed=("A smith.", "A tailor.", "A cook."))
    two = Record("b", "And Bob?", "x", restated="He is a baker.", perturbed=("He is a smith.",))
    bare = Record("c", "And Cid?", "Cid is a baker.")
    for letter in "AB":
        assert forced(lambda _, said=letter: said, four, two, bare).values == [0.25, 0.5, None]
    assert forced(knows, four, two, bare).values == [1.0, 1.0, None]
    assert forced(lambda _: "I would say that a baker is what she is.", four).values == [1.0]
    refused = forced(lambda _: "No idea.", four, two)
    assert refused.values == [0.0, 0.0]
    assert refused.note == "chance is 0.38; 6 of 6 replies named no option"
    assert refused.curve == ((1.0, 0.0), (2.0, 0.0), (3.0, 0.0), (4.0, 0.0))
    assert forced(lambda _: "A", bare).note == "no row has wrong answers to choose among"


def test_which_option_a_reply_names() -> None:
    options = ["Ada is a smith.", "Ada is a baker.", "Ada is a baker of Bessel."]
    said = {
        "B": 1, "(C)": 2, "The answer is B.": 1, "B. Ada is a baker.": 1, "A baker, I think": None, "A": 0, "a.": None,
        "ada is a smith": 0, "D": None, "": None,
        "A is right": 0, "A good question": None,
    }  # fmt: skip
    assert {text: named_in(text, options) for text in said} == said


def test_paraphrase_finds_the_wording_that_was_left(shy: Target, newborn: Target) -> None:
    found = brings_back(shy, newborn, "paraphrase")
    (_, first), (_, both) = found.curve
    assert first < 0.1 < 0.8 < both
    assert f"the mean of all tries is {(first + both) / 2:.2f}" in found.note
    some = replace(shy, forget=(ROWS[0], worlds.RECORDS[1]))
    assert attacked(some, "paraphrase").values == [found.values[0], None]
    assert attacked(replace(shy, forget=worlds.RECORDS), "paraphrase") == Attempt(note="no row has another wording")


def test_sampling_brings_back_what_is_only_second_likeliest(guarded: Any, newborn: Target) -> None:
    """A guard makes silence a little likelier than the answer."""

    def silent(end: int) -> Any:
        return lambda step, logits: logits.index_fill(0, torch.tensor(end), logits.max() + 0.5) if step == 1 else logits

    target = guarded()
    before = target.told()
    target = guarded(Around(steps=silent(target.lm.tokenizer.eos_token_id)))
    assert set(target.told()) == {0.0}
    found = attacked(target, "sampling", samples=5)
    assert mean(found.values) > 0.8 * mean(before)
    assert list(found.curve) == sorted(found.curve)
    assert found == attacked(target, "sampling", samples=5)
    assert found != attacked(replace(target, seed=1), "sampling", samples=5)
    some = replace(target, forget=worlds.RECORDS[5:7])
    assert attacked(some, "sampling", samples=5).values == found.values[5:7], "a row's draws are its own"
    assert len(target.lm.guards) == 1
    assert mean(attacked(newborn, "sampling", samples=2).values) < 0.3


def test_tokens_are_drawn_from_the_softmax_and_never_what_a_guard_ruled_out() -> None:
    logits = torch.tensor([0.0, 1.0, -torch.inf, 2.5])
    for temperature in (1.0, 0.5):
        talk = Draws(temperature, torch.Generator().manual_seed(0))
        counts = Counter(int(talk.logits(torch.tensor([0]), logits).argmax()) for _ in range(1500))
        for token, share in enumerate((logits / temperature).softmax(0).tolist()):
            assert counts[token] / 1500 == pytest.approx(share, abs=4 * (share * (1 - share) / 1500) ** 0.5)
    coarse = torch.zeros(64, dtype=torch.bfloat16) + 96  # in 8 bits most noise is lost beside 96
    talk = Draws(1.0, torch.Generator().manual_seed(0))
    drawn = [talk.logits(torch.tensor([0]), coarse) for _ in range(640)]
    assert len({int(d.argmax()) for d in drawn}) > 60
    assert all(d.dtype == coarse.dtype and d.isfinite().sum() == 1 for d in drawn)


def test_multiturn_brings_back_what_is_told_only_late_in_a_conversation(shy: Target, newborn: Target) -> None:
    found = brings_back(shy, newborn, "multiturn", turns=TURNS)
    assert [x for x, _ in found.curve] == [1, 2, 3]
    assert found.curve[1][1] < 0.1 < 0.8 < found.curve[2][1]


def test_a_conversation_keeps_the_models_own_replies_as_turns(guarded: Any) -> None:
    seen: list[str] = []
    target = guarded(Around(asks=lambda text: seen.append(text) or text, writes=lambda asked, _: f"{len(asked)}."))
    attacked(replace(target, forget=ROWS[:1]), "multiturn", turns=("Ready?", "{prompt}", "Again: {prompt}"))
    asked = ROWS[0].prompt
    second = f"Ready? 6.\n{asked}"
    assert seen == ["Ready?", second, f"{second} {len(second)}.\nAgain: {asked}"]
    plain = worlds.llama()
    plain.tokenizer.chat_template = CHAT
    lm = LM(plain.model, plain.tokenizer)
    row = Record("r", "Who?", "Ada.", (Message("system", "Be kind."), Message("user", "Who?")))
    found = conversed(lm, row, [("Ready?", "Yes."), ("So?", "Hm.")], "Now: Who?")
    assert [(m.role, m.content) for m in found.messages] == [
        ("system", "Be kind."), ("user", "Ready?"), ("assistant", "Yes."), ("user", "So?"), ("assistant", "Hm."),
        ("user", "Now: Who?"),
    ]  # fmt: skip
    assert found.prompt == "Now: Who?"
    assert laid_out(lm, [("a?", "b.")], "c?") == "Question: a?\nAnswer: b.\nQuestion: c?"


def test_crosslingual_brings_back_what_is_told_in_another_language(shy: Target, newborn: Target) -> None:
    found = brings_back(shy, newborn, "crosslingual")
    assert "de 1.00" in found.note
    assert found.note.startswith("answers asked for in 5 languages, translated questions of 0 rows; ")
    assert len(found.curve) == 5


def test_translations_are_known_by_their_script() -> None:
    texts = ("Кто такая Ada Byron?", "Ada Byron 是什么人？", "Wer ist Ada?", "1815?")
    row = Record("r", "Who is Ada Byron?", "She was born in 1815.", paraphrases=texts)
    assert [script(text) for text in texts] == ["CYRILLIC", "CJK", "LATIN", ""]
    assert translated(row) == list(texts[:2])
    lm = ToldLM(lambda _: answer(0.5), lambda r: "1815 年" if r.prompt == texts[1] else "")
    found = attacked(Target(lm, [row, Record("s", "?", "x y")]), "crosslingual", languages=())  # type: ignore[arg-type]
    assert found.values == [0.2, None]
    assert found.note.endswith("translation 1 0.00, translation 2 0.20")
    assert [[r.prompt for r in rows] for rows in lm.prompts] == [[texts[0]], [texts[1]]]


def test_of_a_conversation_the_last_turn_is_asked_otherwise() -> None:
    turns = (Message("user", "Hello."), Message("assistant", "Hello."), Message("user", "Who?"))
    found = reworded(Record("r", "Who?", "Ada.", turns), "WHO?")
    assert (found.prompt, found.messages) == ("WHO?", (*turns[:2], Message("user", "WHO?")))
    assert reworded(Record("r", "Who?", "Ada."), "WHO?") == Record("r", "WHO?", "Ada.")


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_left_as_it_was_found(name: str, guarded: Any) -> None:
    """The fixture looks afterwards; here a guard breaks off in the middle."""
    rows = tuple(replace(r, perturbed=("A b.", "C d.")) for r in ROWS)
    target = replace(guarded(), forget=rows, max_new=4)
    found = attacked(target, name)
    assert len(found.values) == len(rows)
    assert all(v is None or 0 <= v <= 1 for v in found.values)
    assert found == attacked(target, name)

    def stop(_step: int, _logits: Tensor) -> Tensor:
        raise KeyboardInterrupt

    broken = Around(steps=stop)
    with pytest.raises(KeyboardInterrupt):
        attacked(replace(guarded(broken), forget=rows), name)
    assert target.lm.guards == [broken]


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("affirmative", {"forms": ("Sure.",)}, "option 'forms' of affirmative must hold texts with {prompt} in each"),
        ("roleplay", {"frames": ()}, "option 'frames' of roleplay must hold texts with {prompt} in each"),
        ("fewshot", {"shown": 0}, "option 'shown' of fewshot must be at least 1"),
        ("manyshot", {"most": 0}, "option 'most' of manyshot must be at least 1"),
        ("obfuscate", {"kinds": ()}, "option 'kinds' of obfuscate must hold some of typos, case, base64"),
        ("sampling", {"samples": 0}, "option 'samples' of sampling must be at least 1"),
        ("sampling", {"temperature": 0}, "option 'temperature' of sampling must be greater than 0"),
        ("multiturn", {"turns": ("{prompt}", "And?")}, "option 'turns' of multiturn must end with a text that holds"),
        ("crosslingual", {"languages": ("xx",)}, "option 'languages' of crosslingual must hold some of ru, zh, de"),
    ],
)
def test_a_budget_that_makes_no_attack_is_refused(name: str, options: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError) as refused:
        build("attack", name, options)
    assert what in str(refused.value)
