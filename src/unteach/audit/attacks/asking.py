"""Questions put otherwise: the same row with another prompt, and what the answers give away.

What tells is settled by the row as it was recorded: the words of its own question tell nothing, however it is asked.
"""

from collections.abc import Mapping, Sequence

from unteach.audit.target import Attempt, Target, best, curve, mean
from unteach.audit.telling import told
from unteach.lm.encoder import PLAIN
from unteach.lm.respondent import Respondent
from unteach.lm.reworded import reworded
from unteach.schema import InputError, Record

PROMPT = "{prompt}"  # where the question stands in a form
IN_A_TURN = "Question: {prompt}\nAnswer: {answer}"  # pairs shown within one turn of a conversation
Values = Sequence[float | None]


def replies(target: Target, rows: Sequence[Record | None]) -> list[str | None]:
    """The free answer to each row, in its place; None for a row that is not asked."""
    texts = iter(target.model.generate([row for row in rows if row is not None], target.max_new))
    return [None if row is None else next(texts) for row in rows]


def asked(target: Target, prompts: Sequence[str | None]) -> list[float | None]:
    """What each forget row gives away when it is asked so; None for a row without such a prompt."""
    rows = [None if p is None else reworded(r, p) for r, p in zip(target.forget, prompts, strict=True)]
    return given_away(target, replies(target, rows))


def given_away(target: Target, texts: Sequence[str | None]) -> list[float | None]:
    """The share of each forget row's telling words in its text."""
    return [None if text is None else told(r, text) for r, text in zip(target.forget, texts, strict=True)]


def framed(target: Target, forms: Sequence[str], spent: str) -> Attempt:
    """Every row asked in each form, the question in the place of {prompt}."""
    return tried([asked(target, [form.replace(PROMPT, r.prompt) for r in target.forget]) for form in forms], spent)


def tried(tries: Sequence[Values], spent: str) -> Attempt:
    """The best of several tries of each row; the curve is over their number, the mean of all is in the note."""
    alone = mean([value for values in tries for value in values])
    if alone is None:
        return Attempt(note=f"{spent}: no row has a value")
    reached = {float(n): best(tries[:n]) for n in range(1, len(tries) + 1)}
    return Attempt(best(tries), curve(reached), f"{spent}; the mean of all tries is {alone:.2f}")


def by_kind(tries: Mapping[str, Values]) -> str:
    """The mean of each kind of try, as a phrase."""
    return ", ".join(f"{kind} {reached:.2f}" for kind, values in tries.items() if (reached := mean(values)) is not None)


def laid_out(model: Respondent, before: Sequence[tuple[str, str]], prompt: str) -> str:
    """A prompt behind questions and answers, as text in the form that the model knows.

    Where a template is put around every prompt, its beginning is left to it.
    """
    pattern = IN_A_TURN if model.chat else model.template.pattern or PLAIN
    opening, rest = pattern.split(PROMPT)
    middle, end = rest.split("{answer}")
    pairs = [f"{opening}{question}{middle}{answer}{end}\n" for question, answer in before]
    text = "".join([*pairs, opening, prompt])
    return text if model.chat else text.removeprefix(opening)


def refuse_forms(forms: Sequence[str], option: str) -> None:
    """Forms without a place for the question are refused."""
    if not forms or not all(form.count(PROMPT) == 1 for form in forms):
        raise InputError(f"option {option} must hold texts with {PROMPT} in each, once")
