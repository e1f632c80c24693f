"""Answers that are written together are those that are written alone, whenever they join and leave."""

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

import worlds
from unteach.lm.continuous import Reply, decoded
from unteach.lm.generate import opened
from unteach.lm.model import LM
from unteach.schema import Message

PROMPTS = [r.prompt for r in worlds.RECORDS]


def reply(lm: LM, prompt: str, most: int = 32) -> Reply:
    return opened(lm.encoder, (Message("user", prompt),), most)


def test_answers_that_join_at_any_token_are_those_written_alone(lm: LM) -> None:
    alone = lm.generate(PROMPTS, 32)
    for every in (1, 4):
        batch, replies, left = lm.writing(), [reply(lm, p) for p in PROMPTS], len(PROMPTS)
        while left or batch.replies:
            if left:
                batch.join([replies[len(PROMPTS) - left]])
                left -= 1
            for _ in range(every):
                batch.step()
        assert [decoded(lm.encoder, r.ids) for r in replies] == alone


def test_answers_of_unlike_lengths_join_one_batch(llama: LM) -> None:
    long = f"{PROMPTS[0]} {PROMPTS[1]} {PROMPTS[2]}"
    prompts = [PROMPTS[3], long, PROMPTS[4], f"{PROMPTS[5]} {PROMPTS[6]}"]
    replies = [reply(llama, p, 20) for p in prompts]
    batch = llama.writing()
    batch.join(replies[:1])
    batch.step()
    batch.join(replies[1:3])
    batch.join(replies[3:])
    while batch.replies:
        batch.step()
    assert [decoded(llama.encoder, r.ids) for r in replies] == [llama.generate([p], 20)[0] for p in prompts]


def test_a_batch_that_is_never_empty_does_not_grow(llama: LM) -> None:
    batch, widest = llama.writing(), 0
    for number in range(60):
        batch.join([reply(llama, PROMPTS[number % 12], 6)])
        batch.step()
        batch.step()
        assert batch._rows is not None
        widest = max(widest, batch._rows.real.shape[1])
        assert batch._rows.cache.layers[0].keys.shape[2] == batch._rows.real.shape[1] - 1
    longest = max(len(llama.encoder.prompt(p)) for p in PROMPTS)
    assert widest <= longest + 8


def test_an_answer_that_nobody_waits_for_leaves(llama: LM) -> None:
    batch, replies = llama.writing(), [reply(llama, p) for p in PROMPTS[:3]]
    batch.join(replies)
    replies[1].unwanted = True
    batch.step()
    assert [id(r) for r in batch.replies] == [id(replies[0]), id(replies[2])]
    assert [len(r.ids) for r in replies] == [2, 1, 2]
    for left in batch.replies:
        left.unwanted = True
    batch.step()
    assert batch.replies == ()


def test_activation_maps_meet_each_row_where_its_prompt_ends(llama: LM) -> None:
    """A map that acts on answers alone tells rows apart by where their prompts end; joined rows keep theirs."""
    seen: list[list[int]] = []
    with llama.tap("model.layers.0", lambda _, site: seen.append(site.prompt_end.tolist())):
        batch = llama.writing()
        first, second = reply(llama, PROMPTS[0]), reply(llama, f"{PROMPTS[1]} {PROMPTS[2]}")
        batch.join([first])
        batch.join([second])
        batch.step()
    assert seen == [[len(first.prompt)], [len(second.prompt)], [len(first.prompt), len(second.prompt)]]


def test_a_model_that_forgets_where_it_began_takes_nobody_in_while_it_writes(llama: LM) -> None:
    config = MistralConfig(
        vocab_size=len(llama.tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=8, max_position_embeddings=96,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lm = LM(MistralForCausalLM(config), llama.tokenizer)
    batch, replies = lm.writing(), [reply(lm, p, 12) for p in PROMPTS[:2]]
    assert batch.joinable
    batch.join(replies)
    assert not batch.joinable
    with pytest.raises(AssertionError):
        batch.join([reply(lm, PROMPTS[2])])
    while batch.replies:
        batch.step()
    assert batch.joinable
    assert [decoded(lm.encoder, r.ids) for r in replies] == lm.generate(PROMPTS[:2], 12)
