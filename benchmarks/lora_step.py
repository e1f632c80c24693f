"""One training step of an adapter on a random Llama of 110 million parameters: ours (NPO), or plain PEFT.

Run as a program in a process of its own; prints the megabytes that the step took above the loaded model.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from benchmarks.straightforward.batches import padded
from benchmarks.subjects import ROWS, Shape, model
from unteach.audit.benchmarks.tofu import Tofu
from unteach.edit.plan import Plan
from unteach.lm.model import LM
from unteach.methods.finetune.finetune import Finetune
from unteach.schema import Request

LARGE = Shape(vocabulary=32000, hidden=768, layers=12, heads=12, kv_heads=12, inner=2048)
RANK = 8


def main(whose: str, data: str) -> None:
    """Take the step and print what it needed."""
    torch.set_num_threads(1)
    whole = Tofu(data).request()
    request = Request(whole.forget[:ROWS], whole.retain[:ROWS])
    lm = model(LARGE, [*whole.forget, *whole.retain])
    loaded = peak()
    {"ours": ours, "plain": plain}[whose](lm, request)
    print(peak() - loaded)


def ours(lm: LM, request: Request) -> None:
    """A whole edit of one step, with its reference, its measurements and the patch that comes of it."""
    Finetune("npo", plan=Plan(tune="lora", rank=RANK, epochs=1, batch_size=ROWS, accumulate=1))(lm, request)


def plain(lm: LM, request: Request) -> None:
    """The same rows, padded, through a `transformers` model with a PEFT adapter."""
    rows = [lm.encoder.row(r) for r in (*request.forget, *request.retain)]
    adapted = get_peft_model(lm.model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimiser = torch.optim.AdamW((p for p in adapted.parameters() if p.requires_grad), lr=1e-4)
    adapted(**padded(rows, pad=lm.pad, device=lm.device)).loss.backward()
    optimiser.step()


def peak() -> float:
    """The most memory in megabytes that this program ever held; ru_maxrss would count its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
