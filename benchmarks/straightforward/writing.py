"""Greedy answers by `transformers`' own generation, in batches padded on the left in the order of the file."""

from collections.abc import Sequence

import torch
from transformers import GenerationConfig

from benchmarks.straightforward.batches import in_order
from unteach.lm.model import LM
from unteach.schema import Record

MAX_NEW = 200


@torch.no_grad()
def written(lm: LM, records: Sequence[Record], size: int) -> list[str]:
    """What the model answers, each batch going on until its longest answer ends."""
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=MAX_NEW,
        use_cache=True,
        pad_token_id=lm.pad,
        eos_token_id=list(lm.encoder.stops),
    )
    found: list[str] = []
    for part in in_order([lm.encoder.prompt(r.prompt, r.messages) for r in records], size):
        width = max(map(len, part))
        ids = torch.tensor([[lm.pad] * (width - len(p)) + list(p) for p in part], device=lm.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part], device=lm.device)
        made = lm.model.generate(ids, attention_mask=mask, generation_config=settings)[:, width:]
        found += lm.tokenizer.batch_decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return found
