"""A newborn: a small Llama-shaped model with random weights and a tokenizer trained on given texts."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unteach.lm.dice import seeded
from unteach.lm.encoder import Template
from unteach.lm.model import LM

BEGIN, END, PAD = "<s>", "</s>", "<pad>"


@dataclass(frozen=True)
class Size:
    """The shape of a newborn; the defaults make about a million parameters."""

    vocabulary: int = 1024
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 352
    positions: int = 512


def fresh(texts: Iterable[str], size: Size, *, seed: int = 0, template: Template | None = None) -> LM:
    """Train a byte-level BPE tokenizer on the texts and draw a model's weights from the seed."""
    tokenizer = _tokenizer(texts, size)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=size.positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with seeded(seed, torch.device("cpu")):
        model = LlamaForCausalLM(config)
    return LM(model, tokenizer, template=template)


def _tokenizer(texts: Iterable[str], size: Size) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary,
        special_tokens=[BEGIN, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, inner.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BEGIN, eos_token=END, pad_token=PAD, model_max_length=size.positions
    )
