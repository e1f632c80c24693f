"""One LoRA step on a random Llama of 110 million parameters: ours (NPO beside a retain term), or plain PEFT.

Run as a program in a process of its own; prints the peak of memory before the model, with it, and after the step.
"""

import sys
from pathlib import Path

import ready  # isort: skip - one thread, before torch is imported
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import worlds
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.schema import Record, Request

assert ready.SHARED
RANK, ROWS = 8, 3


def peak() -> float:
    """The most memory in megabytes that this process ever held."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def large() -> LM:
    tokenizer = worlds.llama().tokenizer
    config = LlamaConfig(
        vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    tokenizer.model_max_length = 512
    return LM(LlamaForCausalLM(config), tokenizer)


def records(side: str) -> list[Record]:
    texts = [" ".join(worlds.TEXTS[i : i + 3]) for i in range(ROWS)]
    return [Record(f"{side}{i}", t[: len(t) // 3], t[len(t) // 3 :]) for i, t in enumerate(texts)]


def ours(lm: LM) -> None:
    plan = Plan(rank=RANK, epochs=1, batch_size=ROWS, accumulate=1)
    edit = Finetune("npo", plan=plan)(lm, Request(forget=records("f"), retain=records("r")))
    assert len(edit.weights) == 7 * 12


def theirs(lm: LM) -> None:
    batch = lm.batch(records("f") + records("r"))
    config = LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(lm.model, config)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-4)
    labels = torch.where(batch.answer, batch.ids, -100)
    model(input_ids=batch.ids, attention_mask=batch.real.long(), labels=labels).loss.backward()
    optimiser.step()


if __name__ == "__main__":
    before = peak()
    lm = large()
    made = peak()
    {"ours": ours, "theirs": theirs}[sys.argv[1]](lm)
    print(before, made, peak())
