from unteach.assemble import make_method as make_method
from unteach.data import read as read
from unteach.edit.bake import bake as bake
from unteach.edit.edit import Edit as Edit
from unteach.edit.plan import Plan as Plan
from unteach.edit.store import load as load_edit
from unteach.edit.store import save as save_edit
from unteach.jobs import finalise as finalise
from unteach.jobs import forget as forget
from unteach.jobs import undo as undo
from unteach.lm.encoder import Template as Template
from unteach.lm.load import load as load
from unteach.lm.model import LM as LM
from unteach.registry import entries as entries
from unteach.registry import method as method
from unteach.registry import metric as metric
from unteach.registry import objective as objective
from unteach.report import write as write_report
from unteach.schema import Fact as Fact
from unteach.schema import Guarantee as Guarantee
from unteach.schema import InputError as InputError
from unteach.schema import Message as Message
from unteach.schema import Record as Record
from unteach.schema import Report as Report
from unteach.schema import Request as Request
from unteach.schema import Score as Score
from unteach.schema import Span as Span
from unteach.schema import Verdict as Verdict

__all__ = (
    "LM",
    "Edit",
    "Fact",
    "Guarantee",
    "InputError",
    "Message",
    "Plan",
    "Record",
    "Report",
    "Request",
    "Score",
    "Span",
    "Template",
    "Verdict",
    "bake",
    "entries",
    "finalise",
    "forget",
    "load",
    "load_edit",
    "make_method",
    "method",
    "metric",
    "objective",
    "read",
    "save_edit",
    "undo",
    "write_report",
)
