"""Records to ids and masks: what is prompt and what is answer, for every kind of tokenizer and template."""

import json
from pathlib import Path

import pytest
import tokenizers_odd as odd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import worlds
from unteach.lm.batch import collate
from unteach.lm.encoder import Encoder, Template
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.schema import InputError, Message, Record

INST = "[INST] {prompt} [/INST]{answer}"
PATTERNS = ("", INST, "{prompt}{answer}", "Q: {prompt}\nA: {answer}\n")
TOKENIZERS = {
    "byte-level": worlds.llama().tokenizer,
    "merges across words": odd.across_words(worlds.TEXTS),
    "no begin": odd.across_words(worlds.TEXTS, prefix=""),
    "appends end": odd.across_words(worlds.TEXTS, suffix=odd.END),
    "only appends end": odd.across_words(worlds.TEXTS, prefix="", suffix=odd.END),
    "dummy space": odd.dummy_space(worlds.TEXTS),
}


def said(encoder: Encoder, record: Record) -> tuple[str, str]:
    """The text of a row up to its answer, and the text of its answer."""
    row = encoder.row(record)
    assert not row.cut
    return encoder._text(list(row.ids[: row.start])), encoder._text(list(row.ids[row.start :]))


def meant(pattern: str, prompt: str, answer: str) -> tuple[str, str]:
    """The same two texts, by the words of the documentation."""
    if pattern:
        before, after = pattern.split("{answer}")
        return before.replace("{prompt}", prompt), answer + after
    asked = prompt + " " if prompt else ""  # "{prompt} {answer}", its space given to the answer
    asked = asked.rstrip(" ")
    glue = " " if asked and not asked[-1].isspace() and not answer[:1].isspace() else ""
    return asked, glue + answer


def test_the_golden_batch(shared: Path) -> None:
    golden = json.loads((shared / "golden/open_unlearning/batch.json").read_text())
    lm = load(shared / "golden/tiny_tofu_llama", template=Template(INST))
    texts = {side: golden["texts"][side] for side in ("forget", "retain")}
    asked = [t["question"] for t in texts["forget"]]
    texts["alternate"] = [{"question": q, "answer": a} for q, a in zip(asked, golden["alternate_texts"], strict=True)]
    for side, rows in texts.items():
        batch = lm.batch([Record(str(i), r["question"], r["answer"]) for i, r in enumerate(rows)])
        assert batch.ids.tolist() == golden[side]["input_ids"]
        assert batch.real.int().tolist() == golden[side]["attention_mask"]
        labels = torch.where(batch.answer, batch.ids, -100)
        assert labels.tolist() == golden[side]["labels"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_border_of_every_text(kind: str, pattern: str) -> None:
    encoder, merged = Encoder(TOKENIZERS[kind], Template(pattern, eos=False), 512), 0
    for text in worlds.TEXTS[:4]:
        for at in range(len(text)):
            prompt, answer = text[:at].rstrip(" "), text[at:]
            asked, expected = meant(pattern, prompt, answer)
            row = encoder.row(Record("", prompt, answer))
            assert list(row.ids[: row.start]) == encoder.prompt(prompt)
            whole = encoder._text(list(row.ids))
            assert whole == encoder._text(encoder._ids(asked + expected))
            merged += encoder._ids(asked + expected)[: row.start] != list(row.ids[: row.start])
    assert (
        merged or kind == "byte-level" or pattern not in ("", "{prompt}{answer}")
    )  # the case that is to be shown occurs


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", ["byte-level", "merges across words", "only appends end"])
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(prompt=st.text(max_size=12), answer=st.text(min_size=1, max_size=12))
def test_the_ids_say_the_text_and_the_mask_covers_the_answer(kind: str, pattern: str, prompt: str, answer: str) -> None:
    tokenizer = TOKENIZERS[kind]
    encoder = Encoder(tokenizer, Template(pattern), 512)
    asked, expected = meant(pattern, prompt, answer)
    row = encoder.row(Record("", prompt, answer))
    begin = tokenizer.bos_token if row.ids[0] == tokenizer.bos_token_id else ""
    assert encoder._text(list(row.ids)) == begin + asked + expected + odd.END
    batch = collate([row, encoder.row(worlds.RECORDS[0])], ["a", "b"], pad=2, device=torch.device("cpu"))
    assert batch.answer[0].nonzero()[:, 0].tolist() == list(range(max(1, row.start), len(row.ids)))
    if row.start:
        assert encoder._text(batch.ids[0][batch.answer[0]].tolist()) == expected + odd.END
        assert encoder._text(list(row.ids[: row.start])) == begin + asked


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_no_special_token_stands_between_prompt_and_answer(kind: str) -> None:
    encoder = Encoder(TOKENIZERS[kind], Template(), 512)
    row = encoder.row(worlds.RECORDS[0])
    specials = [i for i, token in enumerate(row.ids) if token in (0, 1, 2)]
    assert specials == ([0] if row.ids[0] == 0 else []) + [len(row.ids) - 1]
    assert row.ids[-1] == 1
    assert encoder.stops == (1,)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_text_without_a_prompt(kind: str) -> None:
    encoder = Encoder(TOKENIZERS[kind], Template(), 512)
    text = worlds.RECORDS[0].answer
    row = encoder.row(Record("", "", text))
    begins = row.ids[0] == 0
    assert row.start == (1 if begins else 0)
    assert encoder._text(list(row.ids[row.start :])).strip() == text + odd.END
    batch = collate([row], ["a"], pad=2, device=torch.device("cpu"))
    assert batch.lengths.tolist() == [len(row.ids) - 1]  # the first token is predicted from nothing


@pytest.fixture(scope="module")
def chat() -> Encoder:
    return Encoder(odd.chatml(worlds.TEXTS), Template(), 512)


def test_a_chat_template_lays_out_the_turns(chat: Encoder) -> None:
    assert said(chat, Record("", "Hello", "Hi there.")) == (
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
        "Hi there.<|im_end|>",
    )


def test_turns_before_the_answer_and_a_system_turn(chat: Encoder) -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "A?"),
        Message("assistant", "B."),
        Message("user", "C?"),
    )
    expected = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\nB.<|im_end|>\n"
        "<|im_start|>user\nC?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert said(chat, Record("", "C?", "D.", messages)) == (expected, "D.<|im_end|>")
    strict = Encoder(chat.tokenizer, Template(system="Be brief."), 512)
    assert said(strict, Record("", "C?", "D.", messages[1:]))[0] == expected
    assert said(strict, Record("", "C?", "D.", messages))[0] == expected  # a row's own system turn stays alone
    assert said(strict, Record("", "C?", "D."))[0].startswith(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nC"
    )


def test_what_closes_an_answer(chat: Encoder) -> None:
    end_of_turn = chat.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.closing == (end_of_turn,)
    assert set(chat.stops) == {end_of_turn, chat.tokenizer.eos_token_id}
    open_ended = Encoder(chat.tokenizer, Template(eos=False), 512)
    assert (open_ended.closing, set(open_ended.stops)) == ((), set(chat.stops))
    without = odd.chatml(worlds.TEXTS, template="{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    assert Encoder(without, Template(), 512).closing == (without.eos_token_id,)
    patterned = Encoder(chat.tokenizer, Template("{prompt} {answer}"), 512)  # a pattern wins over the chat template
    assert patterned.closing == (chat.tokenizer.eos_token_id,)
    assert said(patterned, Record("", "A", "B")) == ("<s>A ", "B</s>")


def test_a_chat_template_that_refuses_a_role() -> None:
    refusing = Encoder(odd.chatml(worlds.TEXTS, template=odd.NO_SYSTEM + odd.CHATML), Template(system="Be brief."), 512)
    with pytest.raises(InputError, match="chat template refuses turns of the roles system, user; leave out"):
        refusing.row(worlds.RECORDS[0])


@pytest.mark.parametrize("pattern", ["{prompt}", "{answer}{prompt}", "{prompt}{prompt}{answer}", "x"])
def test_a_pattern_that_is_none(pattern: str) -> None:
    with pytest.raises(InputError, match=r"must hold {prompt} and then {answer}"):
        Template(pattern)


@pytest.mark.parametrize("limit", [4, 7, 16, 20, 30, 512])
def test_what_is_too_long_is_cut_and_counted(limit: int) -> None:
    tokenizer = TOKENIZERS["byte-level"]
    for record in (worlds.RECORDS[3], Record("", "What? " * 9, "Bread."), Record("", "", worlds.TEXTS[0])):
        whole = Encoder(tokenizer, Template(), 4096).row(record)
        row = Encoder(tokenizer, Template(), limit).row(record)
        assert len(row.ids) + row.cut == len(whole.ids)
        assert len(row.ids) <= limit
        asked, answer = whole.ids[: whole.start], whole.ids[whole.start :]
        assert row.ids[: row.start] == asked[len(asked) - row.start :]  # a question loses its beginning
        assert row.ids[row.start :] == answer[: len(row.ids) - row.start]  # an answer its end
        assert len(row.ids) - row.start >= min(len(answer), limit // 2)


def test_a_batch_counts_rows_tokens_and_padding(llama: LM) -> None:
    rows = [llama.encoder.row(r) for r in worlds.RECORDS[:3]]
    batch = llama.batch(worlds.RECORDS[:3])
    counts = [len(r.ids) - r.start for r in rows]
    assert batch.records == tuple(r.id for r in worlds.RECORDS[:3])
    assert batch.lengths.tolist() == counts
    assert batch.offsets == (0, counts[0], counts[0] + counts[1], sum(counts))
    assert batch.rows.tolist() == [i for i, n in enumerate(counts) for _ in range(n)]
    assert batch.targets.tolist() == [t for r in rows for t in r.ids[r.start :]]
    lengths = [len(r.ids) for r in rows]
    assert batch.padding == pytest.approx(1 - sum(lengths) / (3 * max(lengths)))
