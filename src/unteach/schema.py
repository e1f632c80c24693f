"""What every floor speaks: records, requests, scores, guarantees, reports. Nothing here knows torch.

A record may hold what has to be forgotten, so no type that carries one shows its text in its `repr`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Scope = Literal["records", "subject", "concept", "class", "task", "behaviour", "fact"]
Direction = Literal["up", "down", "target", "zero"]
GuaranteeKind = Literal["exact", "certified", "empirical", "suppression", "none"]
VerdictWord = Literal["forgotten", "over-forgotten", "not forgotten", "broken", "inconclusive"]
Need = Literal[
    "forget",  # rows to forget
    "retain",  # rows to keep
    "holdout",  # rows never seen, drawn as the forgotten ones were
    "facts",  # facts to correct
    "reference",  # the answer log-probabilities of the model as it was
    "reference_logits",  # its whole next-token distributions at the answers
    "instead",  # a replacement answer for each forget row
    "mismatched",  # answers of other rows in place of a row's own
    "hidden",  # hidden states at the answers
    "labels",  # a class for each record
    "spans",  # marked parts of the answers
    "paraphrases",  # the same questions in other words
    "perturbed",  # wrong answers of the same form
    "generation",  # what the model writes by itself
    "continuations",  # what it writes when it goes on from each point of an answer
    "spread",  # how far apart the log-probabilities of all tokens lie at each place of an answer
    "question",  # what it expects at the tokens of the question too
    "gradients",  # how a row would change the weights
    "retrained",  # a model trained without the forgotten rows
    "retrained_logits",  # its whole next-token distributions at the answers
    "original",  # the model as it was before
    "neighbours",  # rows a little altered
    "shadows",  # models trained with and without each row
    "cost",  # what making the model took
    "weights",  # a model whose weights can be read
]


class InputError(Exception):
    """Something the user gave cannot be used: one sentence that names the thing and the remedy.

    The message never repeats the text of a record. The command line prints it and ends with code 2.
    """

    @classmethod
    def at(cls, path: object, line: int | None, what: str, remedy: str) -> "InputError":
        """The sentence for a place in a file: ``path, line n: what; remedy``."""
        place = f"{path}, line {line}" if line is not None else f"{path}"
        return cls(f"{place}: {what}; {remedy}")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str = field(repr=False)


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` (exclusive) of an answer, e.g. the part that is secret."""

    start: int
    end: int


@dataclass(frozen=True, repr=False)
class Record:
    """One row: what was asked, what was answered, whose it is.

    `messages` holds the turns before the answer where the row is a conversation; `prompt` is then the last of them.
    `paraphrases` are other wordings of the prompt, `restated` the right answer in other words, `perturbed` wrong answers of
    its form (the truth ratio needs both), `derived_from` ids of rows it was made of. `risk`, 0 to 9: how likely it must go.
    """

    id: str
    prompt: str
    answer: str
    messages: tuple[Message, ...] = ()
    label: int | None = None
    subject: str = ""
    spans: tuple[Span, ...] = ()
    paraphrases: tuple[str, ...] = ()
    restated: str = ""
    perturbed: tuple[str, ...] = ()
    risk: int = 0
    derived_from: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Record(id={self.id!r})"


def record_id(prompt: str, answer: str, messages: Sequence[Message] = ()) -> str:
    """The id of a record that came without one: 16 hex digits of a hash of its content and of nothing else."""
    parts = [f"{m.role}\x1f{m.content}" for m in messages] + [prompt, answer]
    return sha256("\x1e".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, repr=False)
class Probe:
    """A question beside a fact, with the answer it should have (`kind` names the axis it measures)."""

    prompt: str
    answer: str
    kind: str = ""


@dataclass(frozen=True, repr=False)
class Fact:
    """A statement to correct: `prompt` holds `{}` where the subject stands."""

    id: str
    prompt: str
    subject: str
    target_new: str
    ground_truth: str = ""
    rephrasings: tuple[str, ...] = ()
    locality: tuple[Probe, ...] = ()
    portability: tuple[Probe, ...] = ()

    def __repr__(self) -> str:
        return f"Fact(id={self.id!r})"


@dataclass(frozen=True, repr=False)
class Request:
    """What must go, what must stay, what was never seen."""

    forget: Sequence[Record] = ()
    retain: Sequence[Record] = ()
    holdout: Sequence[Record] = ()
    facts: Sequence[Fact] = ()
    scope: Scope = "records"
    id: str = ""
    reason: str = ""

    def __repr__(self) -> str:
        counts = ", ".join(f"{s}={len(getattr(self, s))}" for s in ("forget", "retain", "holdout", "facts"))
        return f"Request(id={self.id!r}, scope={self.scope!r}, {counts})"


STRENGTH: tuple[GuaranteeKind, ...] = ("exact", "certified", "empirical", "suppression", "none")


@dataclass(frozen=True)
class Guarantee:
    """What a result may claim: a class, a level within it (retrain-equal, influence-free, removable, ...), a sentence."""

    kind: GuaranteeKind
    level: str = ""
    claim: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def weakest(self, other: "Guarantee") -> "Guarantee":
        """The guarantee of two edits worn one over the other: the weaker of the two."""
        return self if STRENGTH.index(self.kind) >= STRENGTH.index(other.kind) else other


EMPIRICAL = Guarantee(
    "empirical",
    claim="The weights were changed; what is left is measured, not bounded. No mathematical guarantee.",
)


@dataclass(frozen=True)
class Score:
    """A number with its uncertainty, its direction and its reasons.

    `value` is None where it is undefined (the note says why); `low` and `high` bound a 95 % interval and are
    None where none exists. `per_record` maps record ids to values, `n` of them. `direction`: `up` or `down` is better,
    `target` means as near as can be to the retrained model, `zero` to 0.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    per_record: Mapping[str, float] = field(default_factory=dict, repr=False)
    note: str = ""
    direction: Direction = "target"


@dataclass(frozen=True)
class Cost:
    """What making a model took, and what training one without the rows takes.

    `flops` counts 6 operations for each parameter and token of training (2 of them forward, 4 backward), those of both
    models by the same rule. `retrain_is` says where the second comes from, `trainable` what share was trained.
    """

    seconds: float
    peak_bytes: int
    flops: float
    retrain_flops: float | None = None
    retrain_is: Literal["measured", "estimated"] = "estimated"
    trainable: float | None = None


@dataclass(frozen=True)
class Gate:
    """One condition of a verdict, in plain words: what was measured, what was asked for, and whether it held."""

    name: str
    passed: bool | None  # None: could not be measured
    value: float | None
    threshold: float | None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """The word, its gates, a sentence with the reason; and, where there were several retrained models, those beside each."""

    verdict: VerdictWord
    gates: tuple[Gate, ...] = ()
    reason: str = ""
    beside: tuple["Verdict", ...] = ()


@dataclass(frozen=True)
class Row:
    """One score of one model on one set."""

    model: str
    set: str
    score: Score


@dataclass(frozen=True, repr=False)
class Example:
    """One question and what each model answered; the texts are masked unless the user asked to see them."""

    set: str
    record: str
    prompt: str
    gold: str
    answers: Mapping[str, str]
    kind: str = "sample"  # leak | collateral | sample


@dataclass(frozen=True)
class Finding:
    """One attack on one model.

    `holds` says what the attacker has: questions, weights, both models. `value` is the mean of `measure` over n rows
    under the attack, `before` that without it, and `recovered` (value - before) / (original - before); `excess` is what
    was recovered beyond the retrained model under the same attack. `curve` holds (x, mean) points along `axis`.
    """

    attack: str
    model: str
    holds: str
    measure: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    before: float | None = None
    recovered: float | None = None
    excess: float | None = None
    axis: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Report:
    """Everything a report shows, and nothing a record says (examples are masked before they come here).

    `models` maps a model's name to {"role": "original" | "edited" | "retrained", "digest": ..., "label": ...}, `sets` a set's to
    {"n": ..., "digest": ..., "role": ...}; `axes` names the (set, metric) pairs of the forget-utility plot; `trajectory` has a mapping
    for each measured step ({"step": ..., "forget": ...}), `mixing` one for each point ({"alpha": ..., "forget": ..., "retain": ...}).
    """

    title: str
    models: Mapping[str, Mapping[str, str]]
    sets: Mapping[str, Mapping[str, Any]]
    verdicts: Mapping[str, Verdict]
    scores: tuple[Row, ...]
    guarantee: Guarantee = EMPIRICAL
    created: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    trajectory: tuple[Mapping[str, float], ...] = ()
    mixing: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    attacks: tuple[Finding, ...] = ()
    examples: tuple[Example, ...] = ()
    masked: bool = True
    untested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
