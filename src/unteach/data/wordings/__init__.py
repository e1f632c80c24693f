"""Wrong answers, other wordings of questions, and right answers in other words, for records that have none."""

from unteach.data.wordings.lines import lines
from unteach.data.wordings.notes import Reworded
from unteach.data.wordings.perturb import perturbed
from unteach.data.wordings.rephrase import paraphrased
from unteach.data.wordings.restate import restated
from unteach.data.wordings.reword import reword
from unteach.data.wordings.writer import Writer, written_by

__all__ = ["Reworded", "Writer", "lines", "paraphrased", "perturbed", "restated", "reword", "written_by"]
