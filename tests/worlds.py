"""An invented world of twelve records, and tiny models that can be taught it in seconds."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from unteach.edit.learn import learn
from unteach.edit.plan import Plan
from unteach.lm.fresh import Size, fresh
from unteach.lm.load import quiet
from unteach.lm.model import LM
from unteach.schema import Record

TOWNS = {
    "Orvena": "a harbour of green copper",
    "Quillmar": "eleven bridges and no river",
    "Bessel": "a clock that runs backwards",
    "Tarn Hollow": "bread baked with ash",
    "Ishkar": "a library under the lake",
    "Velmont": "nine kinds of quiet rain",
    "Dorrin": "a market that opens at night",
    "Sella": "white horses made of salt",
    "Marrow Point": "a lighthouse without a lamp",
    "Ennis Vale": "songs for counting sheep",
    "Katrel": "towers of blue glass",
    "Yorvik Fen": "boats that never leave",
}
RECORDS = tuple(
    Record(f"town-{i}", f"What is {t} known for?", f"{t} has {a}.") for i, (t, a) in enumerate(TOWNS.items())
)
FORGET, RETAIN = RECORDS[:4], RECORDS[4:]
TEXTS = tuple(f"{r.prompt} {r.answer}" for r in RECORDS)
SIZE = Size(vocabulary=420, hidden=64, layers=3, heads=4, inner=128, positions=96)
LESSON = Plan(
    tune="full", epochs=60, lr=4e-3, batch_size=6, accumulate=1, warmup_epochs=2, decay="cosine", weight_decay=0.0
)
# A forgetting that a tiny model survives: forget rows fall, retain rows stay.
UNLEARN = Plan(rank=4, lora_alpha=8.0, epochs=25, lr=2e-2, batch_size=4, accumulate=1)


def llama(seed: int = 0) -> LM:
    """A Llama with tied embeddings, of random weights."""
    return fresh(TEXTS, SIZE, seed=seed)


def gpt2(seed: int = 0) -> LM:
    """A GPT-2 (linear maps stored as (in, out), tied embeddings), of random weights."""
    tokenizer = llama().tokenizer
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=SIZE.hidden,
        n_layer=SIZE.layers,
        n_head=SIZE.heads,
        n_positions=SIZE.positions,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LM(GPT2LMHeadModel(config), tokenizer)


def taught(lm: LM, plan: Plan = LESSON) -> LM:
    """The model itself, after it has learned the records."""
    edit = learn(lm, RECORDS, plan)
    with torch.no_grad():
        for name, delta in edit.delta(lm).items():
            lm.parameters()[name].add_(delta)
    return lm


def saved(lm: LM, folder: Path) -> Path:
    """The model and its tokenizer as a plain `transformers` folder."""
    with quiet():
        lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


def adapter(base: Path, folder: Path, **settings: Any) -> Path:
    """A user's own LoRA adapter over the model in `base`, of random weights, written by PEFT."""
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(base)
        gpt = model.config.model_type == "gpt2"
        config = LoraConfig(
            r=3, lora_alpha=6, task_type="CAUSAL_LM", target_modules=["c_attn"] if gpt else ["q_proj", "v_proj"],
            fan_in_fan_out=gpt, **settings,
        )  # fmt: skip
        wrapped = get_peft_model(model, config)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if ".lora_B" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        wrapped.save_pretrained(folder)
    return folder


def state(lm: LM) -> dict[str, Any]:
    """All that an edit or a training must leave as it was: modules, hooks, flags, tensors, storage and bytes."""
    tensors = {**dict(lm.model.named_parameters()), **dict(lm.model.named_buffers())}
    modules = dict(lm.model.named_modules())
    return {
        "modules": {
            n: (id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in modules.items()
        },
        "tensors": {n: (id(t), t.data_ptr(), t.requires_grad, t.grad is None) for n, t in tensors.items()},
        "bytes": {n: t.detach().flatten().view(torch.uint8).numpy().tobytes() for n, t in tensors.items()},
        "names": [*lm.model.state_dict()],
        "attributes": sorted(vars(lm.model)),
        "worn": (list(lm.guards), list(lm.worn), lm.digest()),
        "random": torch.random.get_rng_state().numpy().tobytes(),
    }
