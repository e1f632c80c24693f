"""Generation at the end of a model's context."""

from dataclasses import replace

from unteach.lm.model import LM
from worlds import RECORDS


def test_a_prompt_is_not_cut_to_make_room_for_an_answer_it_does_not_need(llama: LM) -> None:
    """With as many new tokens as the context has positions the answers are those of a small limit."""
    small = llama.generate(RECORDS, 24)  # an answer begins with the space before it
    assert [a.strip() for a in small] == [r.answer for r in RECORDS]
    assert llama.generate(RECORDS, llama.max_length) == small


def test_an_answer_ends_where_the_context_ends(llama: LM) -> None:
    long = replace(RECORDS[0], prompt=RECORDS[0].prompt * 40)
    (answer,) = llama.generate([long], 10_000)
    assert len(llama.encoder.tokenizer(answer)["input_ids"]) <= llama.max_length
