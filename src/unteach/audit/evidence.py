"""Ask each model once; every metric reads the same answers, log-probabilities and generations."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from unteach.audit.shadows import Shadow
from unteach.lm.model import LM
from unteach.lm.respondent import Respondent
from unteach.lm.reworded import reworded
from unteach.measure.answers import Answer, ask
from unteach.measure.divergence import Divergence, diverge, unlike
from unteach.schema import Cost, InputError, Message, Need, Record

ROLES = ("forget", "retain", "general", "holdout", "facts", "rephrased", "neighbours", "portability")
MEANT_BY: Mapping[Need, tuple[str, ...]] = {
    "forget": ("forget",),
    "retain": ("retain", "general"),
    "holdout": ("holdout",),
    "facts": ("facts", "rephrased", "neighbours"),
}
NOT_ANSWERS: frozenset[Need] = frozenset(  # a metric that needs one of these reads something else
    {"generation", "continuations", "question", "gradients", "retrained_logits", "cost"}
)
UNSEEN = Answer(np.empty(0), np.empty(0, bool), np.empty(0), np.empty(0), False)  # behind a guard

_Asked = tuple[str, tuple[Message, ...], str]
_V = TypeVar("_V")


class Evidence:
    """What one model says about sets of records.

    Everything that the metrics need is asked in one teacher-forced pass over the distinct rows of all sets and
    in one batched greedy generation. Where the model wears a guard that makes log-probabilities meaningless, or is
    served by somebody else, answers come back without tokens, so that what is computed from them is undefined.

    `roles` maps a set to one of `ROLES`; a set that bears such a name needs no entry.
    `retrained` and `original` are the evidence of the models to compare with, asked before. `again` has this model
    once more after `close`, for those that are compared with it token by token; `cost` says what making it took.
    `shadows` are what other models say that were trained with and without each row.
    """

    def __init__(
        self, lm: Respondent, sets: Mapping[str, Sequence[Record]], *, name: str,
        roles: Mapping[str, str] | None = None, retrained: "Evidence | None" = None,
        original: "Evidence | None" = None, max_new: int = 200,
        again: Callable[[], AbstractContextManager[Respondent]] | None = None, cost: Cost | None = None,
        shadows: Sequence[Shadow] = (),
    ) -> None:  # fmt: skip
        self.name, self.sets, self.max_new = name, sets, max_new
        self.roles = {s: (roles or {}).get(s, s if s in ROLES else "general") for s in sets}
        self.retrained, self.original = retrained, original
        self.observable, self.served, self.guarded = lm.observable, lm.held is None, bool(lm.guards)
        self.digest = lm.digest()
        self.again, self.cost, self.shadows = again, cost, tuple(shadows)
        self.apart = ""  # why the two models could not be held side by side
        self._lm: Respondent | None = lm
        self._answers: dict[_Asked, Answer] = {}
        self._spread: dict[_Asked, Answer] = {}  # those with mean and variance
        self._texts: dict[_Asked, str] = {}
        self._beside: dict[_Asked, Divergence | None] = {}
        self._measured: dict[tuple[Hashable, ...], dict[Record, Any]] = {}

    def labels(self, set_name: str) -> tuple[str, ...]:
        """What the rows of a set are called in a report: the set's name and the row's number."""
        return tuple(f"{set_name}/{i:04d}" for i in range(len(self._rows(set_name))))

    def of_role(self, role: str) -> tuple[str, ...]:
        """The sets that play a role."""
        return tuple(s for s, played in self.roles.items() if played == role)

    def answers(self, set_name: str, *, spread: bool = False) -> tuple[Answer, ...]:
        """The rows' own answers; `spread` wants the mean and variance of log p at each token."""
        return self._asked(self._rows(set_name), spread=spread)

    def restated(self, set_name: str) -> tuple[Answer, ...]:
        """The right answers in other words, or as they are where there is no other wording."""
        return self._asked([_restated(r) for r in self._rows(set_name)])

    def perturbed(self, set_name: str) -> tuple[tuple[Answer, ...], ...]:
        """The wrong answers of each row."""
        return tuple(self._asked(_perturbed(r)) for r in self._rows(set_name))

    def choices(self, set_name: str) -> tuple[tuple[Answer, ...], ...]:
        """The own answer and then the wrong ones of each row."""
        return tuple(self._asked([r, *_perturbed(r)]) for r in self._rows(set_name))

    def generated(self, set_name: str) -> tuple[str, ...]:
        """What the model writes when it is asked."""
        return self._written(self._rows(set_name))

    def own(self, set_name: str) -> tuple[Answer | None, ...]:
        """The model on what it writes itself when it is asked; None where it writes nothing."""
        written = [text.strip() for text in self.generated(set_name)]
        rows = [replace(r, answer=text, spans=()) for r, text in zip(self._rows(set_name), written, strict=True)]
        known = iter(self._asked([r for r in rows if r.answer]))
        return tuple(next(known) if r.answer else None for r in rows)

    def paraphrased(self, set_name: str) -> tuple[tuple[str, ...], ...]:
        """What the model writes when it is asked in each of the other wordings."""
        return tuple(self._written(_paraphrases(r)) for r in self._rows(set_name))

    def beside(self, set_name: str) -> tuple[Divergence | None, ...]:
        """This model beside the retrained one on the rows' own answers; where there is none, `apart` says why."""
        return self._compared(self._rows(set_name))

    def measured(
        self, set_name: str, measure: Callable[..., Sequence[_V | None]], *options: float
    ) -> tuple[_V | None, ...]:
        """One value a row by a measure that asks the model itself, `measure(lm, records, *options)`."""
        records = self._rows(set_name)
        if not self.observable:
            return (None,) * len(records)
        known = self._measured.setdefault((measure, *options), {})
        return _once(known, records, lambda new: measure(self._held(), new, *options), key=_content)

    def has_written(self, set_name: str) -> bool:
        """Whether the questions of a set were put to the model."""
        return all((r.prompt, r.messages, "") in self._texts for r in self._rows(set_name))

    def gather(self, wanted: Iterable[tuple[frozenset[Need], str]]) -> None:
        """Ask at once what metrics with these needs will read on these sets."""
        rows: list[Record] = []
        widely: set[_Asked] = set()  # rows of which mean and variance will be read
        prompts: list[Record] = []
        both: list[Record] = []
        for needs, set_name in wanted:
            beside = [s for need in needs for role in MEANT_BY.get(need, ()) for s in self.of_role(role)]
            for name in dict.fromkeys([set_name, *beside]):
                records = self._rows(name)
                widely |= set(map(_question, records)) if "spread" in needs else set()
                if "perturbed" in needs:
                    rows += [row for r in records for row in (_restated(r), *_perturbed(r))]
                if "perturbed" in needs or not needs & NOT_ANSWERS:
                    rows += records
                if "generation" in needs and "paraphrases" in needs:
                    prompts += [row for r in records for row in _paraphrases(r)]
                elif "generation" in needs:
                    prompts += records
                if "retrained_logits" in needs:
                    both += records
        self._asked(rows, widely=widely)
        self._written(prompts)
        self._compared(both)

    def close(self) -> None:
        """Let the model go: it may wear another edit from now on, and what was not asked stays unasked."""
        self._lm = None

    def _rows(self, set_name: str) -> Sequence[Record]:
        if set_name not in self.sets:
            raise InputError(f"there is no set '{set_name}'; there are {', '.join(self.sets) or 'none'}")
        return self.sets[set_name]

    def _asked(
        self, records: Sequence[Record], *, spread: bool = False, widely: Collection[_Asked] = ()
    ) -> tuple[Answer, ...]:
        if not self.observable:
            return (UNSEEN,) * len(records)
        known = self._spread if spread else self._answers
        for question in set(widely) - set(self._spread):  # what was asked without is asked again
            self._answers.pop(question, None)

        def ask_for(new: Sequence[Record]) -> list[Answer]:
            return ask(self._held(), new, spread=[spread or _question(r) in widely for r in new])

        found = _once(known, records, ask_for)
        self._answers |= known
        self._spread |= {q: self._answers[q] for q in widely if q in self._answers}
        return found

    def _written(self, records: Sequence[Record]) -> tuple[str, ...]:
        own = {(r.prompt, r.messages): r for r in records}
        unanswered = [replace(r, answer="") for r in records]

        def write(new: Sequence[Record]) -> list[str]:
            begun = [self._begun(own[r.prompt, r.messages]) for r in new]
            rows = [own[r.prompt, r.messages] if n else r for r, n in zip(new, begun, strict=True)]
            return self._model().generate(rows, self.max_new, begun=begun)

        return _once(self._texts, unanswered, write)

    def _begun(self, record: Record) -> int:
        """How many tokens of its own answer the model would choose itself, one after another, as far as is known."""
        known = self._answers.get((record.prompt, record.messages, record.answer))
        if known is None:
            return 0
        return len(known.hit) if known.hit.all() else int(known.hit.argmin())

    def _compared(self, records: Sequence[Record]) -> tuple[Divergence | None, ...]:
        return _once(self._beside, records, self._diverge)

    def _diverge(self, records: Sequence[Record]) -> Sequence[Divergence | None]:
        """Both models on the same rows; the retrained one is had again for it."""
        nothing, then = (None,) * len(records), self.retrained
        self.apart = "no other retrained model to compare with"
        if then is None or then.again is None or not (self.observable and then.observable):
            return nothing
        now = self._held()
        with ExitStack() as stack:
            self.apart = "the retrained model cannot be had beside this one"
            with suppress(InputError):  # an edit refuses a model that wears another one
                other = stack.enter_context(then.again()).held
                self.apart = unlike(now, other, records) if other else ""
            if self.apart or other is None:
                return nothing
            if other.digest() != then.digest:
                raise RuntimeError(f"'{then.name}' is not the model any more that was asked before")
            return diverge(now, other, records)

    def _held(self) -> LM:
        held = self._model().held
        assert held is not None, "what is not observable is not asked for"
        return held

    def _model(self) -> Respondent:
        if self._lm is None or self._lm.digest() != self.digest:
            raise RuntimeError(f"the evidence of '{self.name}' was not gathered while its model was worn")
        return self._lm


def _restated(record: Record) -> Record:
    return replace(record, answer=record.restated or record.answer)


def _perturbed(record: Record) -> list[Record]:
    return [replace(record, answer=wrong) for wrong in record.perturbed]


def _paraphrases(record: Record) -> list[Record]:
    return [reworded(record, p) for p in record.paraphrases]


def _content(record: Record) -> Record:
    """Everything that a measure may read of a record."""
    return replace(record, id="")


def _question(record: Record) -> _Asked:
    return record.prompt, record.messages, record.answer


def _once(
    known: dict[Any, _V], records: Sequence[Record], ask_for: Callable[[list[Record]], Sequence[_V]], *,
    key: Callable[[Record], Hashable] = _question,
) -> tuple[_V, ...]:  # fmt: skip
    """What is known of each record; what is not is asked for, all at once and each once."""
    keys = [key(r) for r in records]
    new = {key: r for key, r in zip(keys, records, strict=True) if key not in known}
    if new:
        known |= zip(new, ask_for(list(new.values())), strict=True)
    return tuple(known[key] for key in keys)
