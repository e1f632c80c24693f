"""Who writes the texts that a model learns in place of what it forgets, and wrong answers by them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from unteach.data.wordings.leaks import telling
from unteach.data.wordings.perturb import perturbed
from unteach.data.wordings.vague import vague
from unteach.data.wordings.writer import Writer, written_by
from unteach.edit.plan import draw
from unteach.lm.address import is_url, shown
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.served import connect
from unteach.schema import InputError, Record, Request

Replacement = Callable[[Record, int], tuple[str, ...]]  # the answers that a record has in an epoch
ITSELF = "self"
DRAWN = 256  # vague answers from which one is taken that gives nothing away


def writer_of(lm: LM, name: str) -> Writer | None:
    """The model itself for `self`, one behind a URL, one in a folder or of the hub; none for an empty name."""
    if not name:
        return None
    if name == ITSELF:
        return lm
    if not is_url(name):
        return load(name)
    if shown(name) != name:
        raise InputError("a writer's address must hold nothing secret; put the key into OPENAI_API_KEY")
    return connect(name)


def alternates(request: Request, k: int, seed: int, writer: Writer | None) -> Mapping[str, tuple[str, ...]]:
    """At most `k` other answers to each question to forget, by record id; at least one.

    Those that a row brings come first, then the writer's that pass its checks, then the rules'. A row of which no
    wrong answer is surely wrong gets a vague one, and one of which no vague answer is surely empty is refused.
    """
    beside = request.retain
    if writer is None:
        made = perturbed(request.forget, k, seed, beside=beside).records
    else:
        made = written_by(writer, request.forget, k, seed=seed, beside=beside).records
    tell = telling([*request.forget, *beside])

    def instead(record: Record) -> tuple[str, ...]:
        silent = (t for t in islice(vague(record, seed, "instead"), DRAWN) if tell.vague(record, t))
        found = record.perturbed[:k] or tuple(islice(silent, 1))
        if not found:
            raise InputError(f"row '{record.id}' has no other answer; give it wrong answers in a column 'perturbed'")
        return found

    return {r.id: instead(r) for r in made}


def one_of(answers: Mapping[str, tuple[str, ...]], seed: int, record: Record, epoch: int) -> tuple[str, ...]:
    """One of a record's other answers in each epoch, each of them once before any comes again."""
    some = answers[record.id]
    order = sorted(range(len(some)), key=lambda i: draw(seed, "instead", epoch // len(some), record.id, i))
    return (some[order[epoch % len(some)]],)


def mismatched(others: Sequence[Record], seed: int, record: Record, epoch: int) -> tuple[str, ...]:
    """The answer of a row to keep, drawn for each record and epoch; never the record's own."""
    fitting = [r for r in others if r.answer != record.answer]
    if not fitting:
        raise InputError("the records to keep hold no answer but a forgotten one; give others with --retain")
    return (min(fitting, key=lambda r: draw(seed, "mismatched", epoch, record.id, r.id)).answer,)
