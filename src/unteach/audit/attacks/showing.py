"""Other forgotten rows shown with their answers before the one that is asked."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice

from unteach.audit.attacks.asking import laid_out, replies
from unteach.audit.rouge import words
from unteach.audit.target import Target
from unteach.audit.telling import told
from unteach.edit.plan import draw
from unteach.lm.reworded import reworded
from unteach.schema import Record


def examples(target: Target, purpose: str, most: int) -> list[list[Record]]:
    """For each forget row the others that are shown before it: as many as fit the context, at most so many.

    All stand in one circle, in an order drawn by their ids, and a row is shown those that follow it: every row is asked
    and none is shown its own answer. What has the same question or the same answer is left out.
    """
    order = sorted(range(len(target.forget)), key=lambda i: draw(target.seed, purpose, target.forget[i].id))
    said = [(tuple(words(r.prompt)), tuple(words(r.answer))) for r in target.forget]
    found: dict[int, list[Record]] = {}
    for place, i in enumerate(order):
        circle = (*order[place + 1 :], *order[:place])
        others = (target.forget[j] for j in circle if said[j][0] != said[i][0] and said[j][1] != said[i][1])
        chosen = list(islice(others, most))
        found[i] = chosen[: _fitting(target, target.forget[i], chosen)]
    return [found[i] for i in range(len(order))]


def told_behind(target: Target, shown: Sequence[Sequence[Record]]) -> list[float | None]:
    """What each row gives away behind its examples; None where there are none, or where they give it away themselves.

    Only the telling words that stand in no answer shown are counted: repeating an example is worth nothing.
    """
    rows = [_behind(target, r, before) if before else None for r, before in zip(target.forget, shown, strict=True)]
    texts = replies(target, rows)
    return [
        None if text is None else told(record, text, *(r.answer for r in before))
        for record, before, text in zip(target.forget, shown, texts, strict=True)
    ]


def _behind(target: Target, record: Record, before: Sequence[Record]) -> Record:
    return reworded(record, laid_out(target.model, [(r.prompt, r.answer) for r in before], record.prompt))


def _fitting(target: Target, record: Record, others: Sequence[Record]) -> int:
    """How many examples fit into the context together with the question and an answer."""
    model = target.model
    room = model.max_length - min(target.max_new, model.max_length // 2)

    def tokens(count: int) -> int:
        return model.question_length(_behind(target, record, others[:count]))

    return bisect_right(range(1, len(others) + 1), room, key=tokens)
