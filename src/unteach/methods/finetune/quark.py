"""Quark: answers sorted by reward, each learnt behind a word that says how good it is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from torch import Tensor, nn

from unteach.data.given import require
from unteach.edit.edit import Edit
from unteach.edit.patches import Patch
from unteach.edit.plan import Plan
from unteach.edit.rows import Sides, Task
from unteach.edit.train import train
from unteach.edit.trainable import Trainable, trainable
from unteach.lm.batch import Batch, Row, collate
from unteach.lm.guard import Guard, Streaming, Turns, asked, asking
from unteach.lm.model import LM
from unteach.lm.reworded import reworded
from unteach.lm.trace import Enter, Start
from unteach.lm.view import Pass, View
from unteach.methods.finetune.samples import Reward, Sample, drawn, quantiles, unlike
from unteach.registry import guard, method
from unteach.schema import Guarantee, InputError, Need, Record, Request

READ: frozenset[Need] = frozenset({"forget", "reference_logits"})
GUARDED = Guarantee(
    "suppression", "removable", "The weights were changed to answer well behind one word, which a guard puts there."
)


@guard("quark", tested_by="test_quark_puts_the_best_word_before_a_question")
@dataclass(frozen=True)
class Rated(Guard, Streaming):
    """A question is asked behind the word of the best answers. Lu et al. 2022, arXiv:2205.13636."""

    word: str = ""

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Rated":
        return self

    def ask(self, turns: Turns) -> Turns:
        return asking(turns, f"{self.word} {asked(turns)}")


@method("quark", tested_by="test_quark_raises_a_toy_reward")
@dataclass(frozen=True)
class Quark:
    """Quantized reward: a model learns its own answers behind words that say in which quantile of reward each lies.

        minimise  mean over answer tokens of  -log p(y_t | r_k, x) + kl * KL(now | r_k, x || before | x) - entropy * H

    In each of `rounds` the forget questions are answered `samples` times, at first by the model before and then by the
    trained one behind the best word; all answers till now are sorted by reward and cut into `quantiles`, and the model
    before is trained on them anew. The plan's epochs count passes over the questions. The reward is minus the share of
    the forgotten answer's words that an answer holds; `steered` takes any other. Lu et al. 2022, arXiv:2205.13636, who
    go on training between rounds and draw at temperature 1, where a model that knows its answers by heart draws little
    else.

    The words r_k are new tokens there. A patch cannot make the embedding grow, so here they are plain text before the
    question: [2] is the second quantile. With `best` unspoken the best quantile has no word at all, and the model
    answers as in it by itself; with spoken it has [1], and the edit holds a guard that puts [1] before each question.

    Needs forget rows. It steers what is said, and nothing shows that what is known has gone: the words of the worse
    quantiles ask for it. Only questions that are asked are steered, and nothing but the KL term on them holds others.

    Example: ``Quark(quantiles=5)(lm, request)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    quantiles: int = 5
    samples: int = 10
    rounds: int = 2
    length: int = 20
    temperature: float = 1.3
    kl: float = 0.05
    entropy: float = 0.06
    best: Literal["unspoken", "spoken"] = "unspoken"
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        if self.quantiles < 2 or min(self.samples, self.rounds, self.length) < 1 or not self.temperature > 0:
            raise InputError("quark needs two quantiles, a sample, a round, a token and a temperature above 0 at least")

    def __call__(self, lm: LM, request: Request) -> Edit:
        return self.steered(lm, request, unlike)

    def steered(self, lm: LM, request: Request, reward: Reward) -> Edit:
        """The same for any reward: a function of a record and an answer to it."""
        require(request, "quark", "forget")
        pool: list[Sample] = []
        edit = Edit(lm.digest())
        for lap in range(self.rounds):
            pool += self._answers(lm, edit, request.forget, reward, lap)
            edit = self._trained(lm, pool)
        return edit

    def _answers(self, lm: LM, edit: Edit, records: Sequence[Record], reward: Reward, lap: int) -> list[Sample]:
        """Fresh answers; those that say nothing, or do not fit behind a word, are left out."""
        with edit.on(lm):
            asked = [self._rated(r, 0) if lap else r for r in records]
            given = drawn(lm, asked, self.samples, self.length, self.temperature, self.plan.seed + lap)
        numbered = [
            (r, lap * self.samples + n, text)
            for r, texts in zip(records, given, strict=True)
            for n, text in enumerate(texts)
        ]
        found = [Sample(r, n, text, reward(r, text)) for r, n, text in numbered if text]
        worst = self.quantiles - 1
        return [s for s in found if not lm.encoder.row(self._rated(_answered(s), worst)).cut]

    def _trained(self, lm: LM, pool: Sequence[Sample]) -> Edit:
        if len(pool) < self.quantiles:
            raise InputError("the model gave fewer answers than there are quantiles; raise --samples")
        places = quantiles([s.reward for s in pool], self.quantiles)
        plain = {f"forget/{r.id}": lm.encoder.row(r) for r in map(_answered, pool)}
        rows = [self._rated(_answered(s), k) for s, k in zip(pool, places, strict=True)]
        mean = sum(s.reward for s in pool) / len(pool)
        questions = len({s.record.id for s in pool})
        plan = replace(self.plan, epochs=self.plan.epochs * questions / len(pool), stop_forget=None, stop_retain=None)
        about = f"{len(pool)} answers, mean reward {mean:.4g}, {replace(self, plan=plan)}"

        @contextmanager
        def opened(lm: LM, plan: Plan) -> Iterator[Trainable]:
            with trainable(lm, plan) as parts:
                yield Unasked(lm, parts, plain)

        def loss(now: Sides, before: Sides) -> Tensor:
            return quark(now.forget, before.forget, self.kl, self.entropy)

        edit = train(lm, Task(rows, (), loss, READ), plan, made_by=f"quark({about})", opened=opened)[0]
        if self.best == "unspoken":
            return edit
        return replace(edit, guards=(Rated(_word(0)),), guarantee=GUARDED)

    def _rated(self, record: Record, quantile: int) -> Record:
        """The question behind the word of a quantile."""
        if quantile == 0 and self.best == "unspoken":
            return record
        return reworded(record, f"{_word(quantile)} {record.prompt}")


def quark(now: View, before: View, kl: float, entropy: float) -> Tensor:
    """-log p + kl * KL(now || before) - entropy * H(now), averaged over answer tokens."""
    ours = now.logits.log_softmax(-1)
    past = before.logits.detach().log_softmax(-1)
    p = ours.exp()
    apart, spread = (p * (ours - past)).sum(-1), -(p * ours).sum(-1)
    return (-now.token_logps + kl * apart - entropy * spread).mean()


@dataclass(frozen=True)
class Unasked:
    """What is trained, where the model before is asked the rows of a table in the place of those of the same name."""

    lm: LM
    inner: Trainable
    rows: Mapping[str, Row]

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        return self.inner.parameters

    @property
    def first(self) -> Start:
        return self.inner.first

    def before(self, batch: Batch, _enter: Enter | None = None) -> Pass:
        rows = [self.rows[name] for name in batch.records]
        return self.inner.before(collate(rows, batch.records, pad=self.lm.pad, device=self.lm.device))

    def patches(self) -> dict[str, tuple[Patch, ...]]:
        return self.inner.patches()


def _answered(sample: Sample) -> Record:
    """A record with the answer that was drawn."""
    return replace(sample.record, id=f"{sample.record.id}|{sample.number}", answer=sample.answer)


def _word(quantile: int) -> str:
    return f"[{quantile + 1}]"
