"""Questions to forget, asked in five ways, each with a vague answer of its own that gives nothing away.

A text is looked at before it is taken, whoever wrote it: a writer is asked again for what fails, three times after the
first, and then the rules write. What is wanted of a writer names the question alone, never the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from unteach.data.wordings.leaks import Telling, telling
from unteach.data.wordings.vague import vague
from unteach.data.wordings.variants import VARIANTS, variant
from unteach.data.wordings.writer import Writer, replies_of
from unteach.lm.reworded import reworded
from unteach.schema import Record

RETRIES = 3
DRAWN = 64  # sentences that the rules draw in one try
OPENING = 0.25  # share of the words of an answer that are given, the rest is to be completed
TOKENS = 96  # that a writer has for a question or an answer
PLAIN = "plain"  # the kind of the original question
ASKED: Mapping[str, str] = {
    "simple": "Question: {question}\nAsk the same in other and simpler words. Keep every name. Do not answer.",
    "contextual": "Question: {question}\nAsk the same inside a more specific situation. Keep every name. Do not answer.",
    "noise": "Question: {question}\nAsk the same as in a chat, with slips of the pen. Keep every name. Do not answer.",
    "logical": "Question: {question}\nTurn the relation that it asks for round. Keep every name. Do not answer.",
}
VAGUELY = (
    "Question: {question}\nAnswer in one professional sentence that stays with the question and is vague: no date, no "
    "place, no number, no address, no name but those of the question, and no fact."
)
LINE = " One line, nothing else."
AGAIN = "\nThis is try {n}: keep to what is asked for."

Passes = Callable[[str], bool]


@dataclass(frozen=True, repr=False)
class Safe:
    """For the id of each row its questions with their vague answers, ``ID/KIND``; `notes` count and repeat no text."""

    of: Mapping[str, tuple[Record, ...]] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(r for some in self.of.values() for r in some)


def safe_answers(
    records: Sequence[Record], seed: int = 0, *, beside: Sequence[Record] = (), writer: Writer | None = None
) -> Safe:
    """Each question and four variants of it, every one with its own vague answer.

    A row without a question is asked by its own opening. A pair for which no answer passes is left out and counted.
    `beside` are rows that say which words tell nothing since many answers hold them.
    """
    tell = telling([*records, *beside])
    plain = [r if r.prompt else reworded(r, _split(r.answer)[0] or r.answer.split()[0]) for r in records]
    asked = [(r, kind) for r in plain for kind in (PLAIN, *VARIANTS)]
    questions = _questions(asked, tell, seed, writer)
    answers, written = _answers(asked, questions, tell, seed, writer)
    made: dict[str, list[Record]] = {r.id: [] for r in records}
    for (r, kind), question, answer in zip(asked, questions, answers, strict=True):
        pair = replace(reworded(r, question), id=f"{r.id}/{kind}", answer=answer, derived_from=(r.id,))
        if answer:
            made[r.id].append(replace(pair, spans=(), paraphrases=(), restated="", perturbed=()))
    count = sum(map(len, made.values()))
    note = f"vague answers: {count} of {len(asked)} questions have one, {written} of them written by the writer"
    return Safe({name: tuple(some) for name, some in made.items()}, (note,))


def completions(records: Sequence[Record]) -> tuple[Record, ...]:
    """The first quarter of the words of each answer as a prompt, the rest as the answer; none of under four words."""
    parts = ((r, *_split(r.answer)) for r in records)
    return tuple(
        replace(r, id=f"{r.id}/completion", prompt=p, answer=a, messages=(), derived_from=(r.id,))
        for r, p, a in parts
        if p and a
    )


def _split(text: str) -> tuple[str, str]:
    said = text.split()
    at = int(OPENING * len(said))
    return " ".join(said[:at]), " ".join(said[at:])


def _questions(
    asked: Sequence[tuple[Record, str]], tell: Telling, seed: int, writer: Writer | None
) -> list[str]:  # fmt: skip
    wanted = [i for i, (_, kind) in enumerate(asked) if kind != PLAIN]
    prompts = [ASKED[asked[i][1]].format(question=asked[i][0].prompt) for i in wanted]
    passes = [_asks(tell, asked[i][0]) for i in wanted]
    written = dict(zip(wanted, tried(writer, prompts, passes), strict=True))
    return [
        r.prompt if kind == PLAIN else written[i] or variant(r, kind, tell, seed)  # type: ignore[arg-type]
        for i, (r, kind) in enumerate(asked)
    ]


def _answers(
    asked: Sequence[tuple[Record, str]], questions: Sequence[str], tell: Telling, seed: int, writer: Writer | None
) -> tuple[list[str], int]:
    """A vague answer to each question, aligned with it, and how many of them are the writer's."""
    passes = [_vague(tell, r) for r, _ in asked]
    written = tried(writer, [VAGUELY.format(question=q) for q in questions], passes)
    ruled = (
        next(filter(passed, islice(vague(r, seed, kind), (1 + RETRIES) * DRAWN)), "")
        for (r, kind), passed in zip(asked, passes, strict=True)
    )
    return [w or t for w, t in zip(written, ruled, strict=True)], sum(map(bool, written))


def _asks(tell: Telling, record: Record) -> Passes:
    return lambda text: tell.asks(record, text) and text != record.prompt


def _vague(tell: Telling, record: Record) -> Passes:
    return lambda text: tell.vague(record, text)


def tried(writer: Writer | None, prompts: Sequence[str], passes: Sequence[Passes]) -> list[str]:
    """The first line of each reply where it passes; what fails is asked for again, and in the end left empty."""
    found = [""] * len(prompts)
    for n in range(1 + RETRIES):
        open_ = [i for i, text in enumerate(found) if not text]
        if writer is None or not open_:
            break
        again = AGAIN.format(n=n + 1) if n else ""
        replies = replies_of(writer, [prompts[i] + LINE + again for i in open_], TOKENS)
        for i, reply in zip(open_, replies, strict=True):
            line = next((t.strip() for t in reply.splitlines() if t.strip()), "")
            found[i] = line if line and "\0" not in line and passes[i](line) else ""
    return found
