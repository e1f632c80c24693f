"""A tiny random model of every supported family."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import worlds
from unteach.lm.model import LM

TOKENIZER = worlds.llama().tokenizer
SHAPE = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
    "bos_token_id": TOKENIZER.bos_token_id,
    "eos_token_id": TOKENIZER.eos_token_id,
    "pad_token_id": TOKENIZER.pad_token_id,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
OWN: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "gptj": {"rotary_dim": 4},
    "gpt_neox": {"rotary_pct": 0.5, "tie_word_embeddings": False},
    "llama": GROUPED,
    "mistral": GROUPED | {"sliding_window": 8},
    "qwen2": GROUPED | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": GROUPED | {"tie_word_embeddings": True},
    "gemma2": GROUPED | {"sliding_window": 8, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 5.0},
    "gemma3_text": GROUPED | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {"num_key_value_heads": 2},
    "olmo2": {"num_key_value_heads": 2},
}


def family(name: str, **settings: Any) -> LM:
    """A random model of a family, the same each time."""
    config = AutoConfig.for_model(name, **SHAPE | OWN[name] | settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LM(AutoModelForCausalLM.from_config(config), TOKENIZER)
