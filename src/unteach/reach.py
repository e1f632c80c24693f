"""The models of an audit: what a folder or a hub id names is opened, what a URL names is asked where it is served."""

from collections.abc import Iterator
from contextlib import contextmanager

from unteach.inquiry import open_model, opened
from unteach.lm.address import is_url
from unteach.lm.encoder import Template
from unteach.lm.respondent import Respondent
from unteach.lm.served import Served, connect
from unteach.recipe import Before, Recipe
from unteach.sets import Say


@contextmanager
def reached(more: Before, model: str, plan: Recipe) -> Iterator[Respondent]:
    """A model when its turn comes."""
    if is_url(model):
        yield _connected(more, model, plan)
        return
    with opened(model, plan) as lm:
        yield lm


def met(more: Before, model: str, plan: Recipe, say: Say) -> Respondent:
    """A model before the long work; what it is is said."""
    if not is_url(model):
        return open_model(model, plan, say)
    served = _connected(more, model, plan)
    say(f"model: {served.name}, served at {served.address} ({served.api})")
    return served


def _connected(more: Before, model: str, plan: Recipe) -> Served:
    name = more.served_model if model == plan.model else ""
    return connect(model, name, api=more.api, template=Template(plan.template, system=plan.system))
