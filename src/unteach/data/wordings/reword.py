"""Everything that a row of one's own lacks, at once."""

from collections.abc import Sequence

from unteach.data.wordings.marked import marked
from unteach.data.wordings.notes import Reworded
from unteach.data.wordings.perturb import perturbed
from unteach.data.wordings.rephrase import paraphrased
from unteach.data.wordings.restate import restated
from unteach.data.wordings.writer import Wanted, Writer, written_by
from unteach.schema import InputError, Record

MOST = 50  # texts of a kind


def reword(
    records: Sequence[Record], *, count: int = 5, paraphrases: int = 5, restate: bool = False,
    mark: bool = False, beside: Sequence[Record] = (), writer: Writer | None = None, name: str = "", seed: int = 0,
) -> Reworded:  # fmt: skip
    """The records with wrong answers and other wordings of their questions, and with `restate` of their answers.

    With `mark` also spans on the sensitive parts of their answers. By rule, or by a writer of a name where one is given. `beside` are rows that only lend their names and answers.
    """
    if not (0 <= count <= MOST and 0 <= paraphrases <= MOST):
        raise InputError(f"Of each kind a row gets 0 to {MOST} texts; give numbers in this range")
    notes: list[str] = []
    wanted: list[tuple[Wanted, int]] = [("perturbed", count), ("paraphrases", paraphrases), ("restated", int(restate))]
    for what, k in wanted:
        if not k:
            continue
        if writer is not None:
            made = written_by(writer, records, k, what=what, name=name, seed=seed, beside=beside)
        elif what == "perturbed":
            made = perturbed(records, k, seed, beside=beside)
        else:
            made = paraphrased(records, k) if what == "paraphrases" else restated(records)
        records, notes = made.records, [*notes, *made.notes]
    if mark:
        made = marked(records, writer=writer, name=name, beside=beside)
        records, notes = made.records, [*notes, *made.notes]
    return Reworded(tuple(records), tuple(notes))
