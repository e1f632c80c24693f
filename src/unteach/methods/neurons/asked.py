"""The rows of a request, as the methods that change weights here need them."""

from collections.abc import Sequence

from unteach.data.given import require
from unteach.lm.model import LM
from unteach.schema import InputError, Record, Request, record_id


def kept(lm: LM, request: Request, name: str) -> Sequence[Record]:
    """The rows to train on; refused where they teach again what is to go, or where the model keeps it beside its weights."""
    require(request, name, "retain")
    again = {_content(r) for r in request.forget} & {_content(r) for r in request.retain}
    if again:
        raise InputError(f"{len(again)} of the records to forget are also to be kept; take them out of --retain")
    if lm.adapter is not None or not all(p.is_floating_point() for p in lm.parameters().values()):
        raise InputError(f"'{name}' acts on plain weights; merge the model's adapter and load it without quantisation")
    return request.retain


def _content(record: Record) -> str:
    return record_id(record.prompt, record.answer, record.messages)
