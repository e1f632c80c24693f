"""The models and the rows that are timed: two small Llamas of random weights, and lessons from TOFU forget10."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unteach.edit.plan import Plan, Step
from unteach.lm.batch import Row
from unteach.lm.dice import seeded
from unteach.lm.encoder import Template
from unteach.lm.fresh import Size, fresh
from unteach.lm.model import LM
from unteach.schema import Record, Request

TEMPLATE = Template("[INST] {prompt} [/INST]{answer}")
ROWS = 8  # of each side in a step


@dataclass(frozen=True)
class Shape:
    """A Llama with tied embeddings."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int


SHAPES = {
    "small": Shape(vocabulary=4096, hidden=128, layers=4, heads=4, kv_heads=2, inner=352),  # 1.26 million parameters
    "mid": Shape(vocabulary=8192, hidden=384, layers=8, heads=6, kv_heads=6, inner=1024),  # 17.3 million
}


@dataclass(frozen=True)
class Lesson:
    """Rows to forget and to keep, and the numbers of those that each step takes, with its epoch."""

    request: Request
    steps: tuple[tuple[tuple[int, ...], tuple[int, ...], int], ...]

    def order(self, forget: Mapping[str, int], retain: Mapping[str, int], _plan: Plan) -> tuple[Step, ...]:
        """The schedule of a training over these rows."""
        first, second = list(forget), list(retain)
        return tuple(
            Step(tuple(first[i] for i in a) if first else (), tuple(second[i] for i in b) if second else (), epoch)
            for a, b, epoch in self.steps
        )

    def rows(self, lm: LM) -> list[tuple[list[Row], list[Row]]]:
        """The same steps as token ids."""
        forget, retain = ([lm.encoder.row(r) for r in side] for side in (self.request.forget, self.request.retain))
        return [([forget[i] for i in a], [retain[i] for i in b]) for a, b, _ in self.steps]


def model(shape: Shape, records: Sequence[Record], *, device: str = "cpu", seed: int = 0) -> LM:
    """A Llama of random weights with a tokenizer trained on the records."""
    tiny = Size(vocabulary=shape.vocabulary, hidden=8, layers=1, heads=1, inner=8)  # only its tokenizer is kept
    tokenizer = fresh((f"{r.prompt} {r.answer}" for r in records), tiny).tokenizer
    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        max_position_embeddings=tiny.positions, tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with seeded(seed, torch.device("cpu")):
        made = LlamaForCausalLM(config)
    return LM(made.to(device), tokenizer, template=TEMPLATE)


def lesson(request: Request, *, steps: int, epochs: int, rows: int = ROWS, seed: int = 0) -> Lesson:
    """Epochs over some rows to forget, each in random order, beside rows to keep that never come twice.

    All rows are drawn at random: neighbours in TOFU tell of one author and are of like length.
    """
    per_epoch = max(1, steps // epochs)
    dice, count = Random(seed), rows * per_epoch
    gone, kept = dice.sample(list(request.forget), count), dice.sample(list(request.retain), rows * steps)
    taken = []
    for step in range(steps):
        at = step % per_epoch
        if at == 0:
            order = dice.sample(range(count), count)
        mine, beside = order[at * rows : (at + 1) * rows], range(step * rows, (step + 1) * rows)
        taken.append((tuple(mine), tuple(beside), step // per_epoch))
    return Lesson(Request(gone, kept), tuple(taken))
