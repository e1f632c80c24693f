"""The first blocks of a model as a model of its own."""

from copy import deepcopy

import torch
from transformers import AutoModelForCausalLM

from unteach.edit.bake import baked_state
from unteach.lm.load import quiet
from unteach.lm.model import LM
from unteach.schema import InputError


def shallow(lm: LM, blocks: int) -> LM:
    """The model's first blocks, at most all, between its embedding and its head, in memory of their own.

    A user's own adapter is merged. Where weights are quantised this is refused.
    """
    if any(not p.is_floating_point() for p in lm.parameters().values()):
        raise InputError("the first blocks of a quantised model cannot be trained; open it in full precision")
    config = deepcopy(lm.model.config)
    config.num_hidden_layers = min(blocks, lm.layers)
    if kinds := getattr(config, "layer_types", None):  # of attention, a block each
        config.layer_types = kinds[: config.num_hidden_layers]
    with quiet(), torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(config, dtype=next(lm.model.parameters()).dtype)
    state = baked_state(None, lm)
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    return LM(model.to(lm.device), lm.tokenizer, template=lm.template)
