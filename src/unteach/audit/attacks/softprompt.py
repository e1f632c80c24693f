"""A prompt of free vectors, fitted to some of what was forgotten."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unteach.audit.target import Attempt, Holds, Target, best, curve
from unteach.audit.telling import told
from unteach.edit.plan import draw
from unteach.lm.batch import Row, collate
from unteach.lm.model import LM
from unteach.lm.trace import Site
from unteach.registry import attack
from unteach.schema import InputError, Need

MOST = 20  # vectors; more of them hold an answer by themselves
LOOKS = 4  # how often the others are asked on the way


@attack("softprompt", tested_by="test_softprompt_brings_back_what_was_only_pushed_down")
@dataclass(frozen=True)
class SoftPrompt:
    """Does one prompt that no text can spell bring all the answers back?

    The attacker holds the weights and a `share` of the forgotten rows (drawn by their ids, at least one). `tokens` free
    vectors v stand before every prompt in place of embeddings; `steps` steps of Adam on batches of `batch_size` of these
    rows lower the mean of -log p(answer token | v, prompt, answer so far) over v alone, and the others are asked. The
    step size is `lr` times the root mean square of an embedding. Schwinn et al. 2024, arXiv:2402.09063. The curve shows
    a few points on the way; what counts is the best of each row, no prompt included.

    It is the cheap upper bound of what prompts can do. A guard around the conversation is asked before the first step
    only: whoever holds the weights need not pass it. The vectors can learn a form that all answers share: compare with
    the retrained model.
    """

    holds: ClassVar[Holds] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"forget", "generation", "weights"})
    measure: ClassVar[str] = "told"
    axis: ClassVar[str] = "steps"
    tokens: int = 10
    steps: int = 100
    share: float = 0.2
    lr: float = 0.1
    batch_size: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MOST:
            raise InputError(f"option 'tokens' of softprompt must lie between 1 and {MOST}")
        if not 0 < self.share < 1:
            raise InputError(
                "option 'share' of softprompt must lie between 0 and 1: some rows are fitted, others asked"
            )
        if min(self.steps, self.batch_size) < 1 or self.lr <= 0:
            raise InputError("options 'steps', 'batch_size' and 'lr' of softprompt must be greater than 0")

    def __call__(self, target: Target, /) -> Attempt:
        lm, records = target.lm, target.forget
        rows = [_behind(lm.encoder.row(r), self.tokens, lm.encoder.first) for r in records]
        fitting = [i for i, row in enumerate(rows) if len(row.ids) <= lm.max_length]
        order = sorted(fitting, key=lambda i: draw(target.seed, "softprompt", records[i].id))
        spent, asked = order[: ceil(self.share * len(order))], order[ceil(self.share * len(order)) :]
        if not asked:
            return Attempt(note=f"{len(order)} rows leave room for {self.tokens} vectors; at least two are needed")
        tries: dict[float, list[float | None]] = {0: target.told([records[i] for i in asked])}

        def look(step: int) -> None:
            prompts = [rows[i].prompt for i in asked]
            written = lm.extend(prompts, [target.max_new] * len(prompts))
            texts = [lm.tokenizer.decode(ids, skip_special_tokens=True) for ids in written]
            tries[step] = [told(records[i], text) for i, text in zip(asked, texts, strict=True)]

        self._fit(lm, [rows[i] for i in spent], target.seed, look)
        values: list[float | None] = [None] * len(records)
        for i, value in zip(asked, best([*tries.values()]), strict=True):
            values[i] = value
        note = f"{self.tokens} vectors, {self.steps} steps on {len(spent)} forgotten rows"
        left = len(records) - len(order)
        return Attempt(values, curve(tries), note + (f"; {left} rows leave no room for the vectors" if left else ""))

    def _fit(self, lm: LM, rows: Sequence[Row], seed: int, look: Callable[[int], None]) -> None:
        """Adam on the vectors; the weights are read through stand-ins that want no gradient."""
        weights = {name: p.detach() for name, p in lm.parameters().items()}
        vectors = begun(lm, self.tokens, seed).requires_grad_()
        adam = torch.optim.Adam([vectors], lr=self.lr * float(vectors.detach().square().mean().sqrt()))
        parts = [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        batches = [collate(part, [""] * len(part), pad=lm.pad, device=lm.device) for part in parts]
        marks = {ceil(self.steps * n / LOOKS) for n in range(1, LOOKS + 1)}
        with put_before(lm, vectors):
            for step in range(1, self.steps + 1):
                with torch.enable_grad():
                    loss = -lm.run(batches[step % len(batches)], weights).token_logps.mean()
                    (vectors.grad,) = torch.autograd.grad(loss, [vectors])
                adam.step()
                if step in marks:
                    look(step)


def _behind(row: Row, tokens: int, filler: int) -> Row:
    return Row((filler,) * tokens + row.ids, row.start + tokens, row.cut)


@torch.no_grad()
def begun(lm: LM, tokens: int, seed: int) -> Float[Tensor, "K D"]:
    """The embeddings of tokens drawn from the vocabulary, in float32."""
    drawn = [draw(seed, "softprompt", k) % len(lm.tokenizer) for k in range(tokens)]
    found: Tensor = lm.model.get_input_embeddings()(torch.tensor(drawn, device=lm.device))
    return found.float().clone()


@contextmanager
def put_before(lm: LM, vectors: Float[Tensor, "K D"]) -> Iterator[None]:
    """The vectors in place of the embeddings of the first K tokens of every row."""
    embeddings = lm.model.get_input_embeddings()
    path = next(name for name, module in lm.model.named_modules() if module is embeddings)
    last = len(vectors) - 1

    def put(states: Tensor, site: Site) -> Tensor | None:
        if site.phase == "decode":
            return None
        here = site.mask & (site.positions <= last)
        return torch.where(here[..., None], vectors.to(states.dtype)[site.positions.clamp_max(last)], states)

    with lm.tap(path, put):
        yield
