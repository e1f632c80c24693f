"""A model as lm-evaluation-harness asks it, with the edits that it wears and its guards in force.

Gao et al. 2024, doi:10.5281/zenodo.12608602. Texts become tokens exactly as in its own class for
`transformers` models, so that a plain model has the same numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM as Asked
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from unteach.audit.scoring import UNOBSERVABLE
from unteach.lm.batch import Row
from unteach.lm.encoder import Encoder, Template
from unteach.lm.generate import cut
from unteach.lm.model import LM
from unteach.lm.respondent import Respondent
from unteach.measure.continuations import continuations
from unteach.schema import InputError

AS_IT_STANDS = Template("{prompt}{answer}")
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first that is given counts
USUAL_LENGTH = 256
GREEDY = {*LENGTHS, "until", "do_sample", "temperature", "top_p", "top_k"}  # the last two say nothing without sampling


class HarnessLM(Asked):  # type: ignore[misc]
    """A model to hand to lm-evaluation-harness: `lm_eval.simple_evaluate(HarnessLM(lm), tasks=[...])`.

    Log-likelihoods come from one teacher-forced pass and are refused behind a guard that makes them meaningless.
    Free answers are those of `LM.generate`, greedy and with every guard in force. No chat template is applied.
    """

    def __init__(self, lm: Respondent) -> None:
        super().__init__()
        self.lm = lm

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """The log-probability of each continuation, and whether the model would have chosen all of it."""
        lm = self._open()
        return continuations(lm, [_row(lm, *_pair(lm, *request.args)) for request in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """The log-probability of each text, in windows of the model's whole length where it is longer."""
        lm = self._open()
        windows = [list(_windows(lm, *request.args)) for request in requests]
        found = iter(continuations(lm, [row for rows in windows for row in rows]))
        return [sum(next(found)[0] for _ in rows) for rows in windows]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The model's answer to each text, up to the first of the texts that end it."""
        asked: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        for i, request in enumerate(requests):
            asked.setdefault(wanted(request.args[1]), []).append(i)
        found: dict[int, str] = {}
        for (most, until), places in asked.items():
            found |= zip(places, self._complete([requests[i].args[0] for i in places], most, until), strict=True)
        return [found[i] for i in range(len(requests))]

    def _complete(self, texts: Sequence[str], most: int, until: Sequence[str]) -> list[str]:
        lm = self.lm.held
        if lm is None:
            return [cut(text, until) for text in self.lm.generate(texts, most)]
        encoder = Encoder(lm.tokenizer, AS_IT_STANDS, _length(lm))
        return lm.generate(texts, most, until=until, encoder=encoder)

    def _open(self) -> LM:
        if self.lm.held is None or not self.lm.observable:
            raise InputError(f"log-likelihoods are {UNOBSERVABLE}; choose tasks whose output_type is generate_until")
        return self.lm.held


def wanted(options: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """How many tokens an answer may have and what ends it; answers that would not be greedy are refused."""
    if strange := sorted(options.keys() - GREEDY):
        raise InputError(f"a task generates with the option '{strange[0]}', which is not known here; leave it out")
    if options.get("do_sample", float(options.get("temperature") or 0) > 0):
        raise InputError("a task draws its answers, and answers here are greedy; set do_sample to false in it")
    until = options.get("until") or ()
    most = next((options[key] for key in LENGTHS if options.get(key) is not None), USUAL_LENGTH)
    return int(most), (until,) if isinstance(until, str) else tuple(until)


def _length(lm: LM) -> int:
    """The model's own limit, whatever its tokenizer says."""
    return int(getattr(lm.model.config, "max_position_embeddings", None) or lm.max_length)


def _ids(lm: LM, text: str) -> list[int]:
    """With the tokenizer's special tokens, unless the text brings the first of them itself."""
    brought = text.startswith(lm.tokenizer.decode(lm.encoder.first))
    return list(lm.tokenizer.encode(text, **({"add_special_tokens": False} if brought else {})))


def _pair(lm: LM, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """White space at the end of a context belongs to the continuation; behind nothing stands the first token."""
    if not context:
        ids, prefix = list(lm.tokenizer.encode(continuation, add_special_tokens=False)), lm.encoder.first
        return (ids[:1], ids[1:]) if ids[:1] == [prefix] else ([prefix], ids)
    asked = _ids(lm, context.rstrip())
    return asked or [lm.encoder.first], _ids(lm, context + continuation)[len(asked) :]


def _row(lm: LM, context: Sequence[int], continuation: Sequence[int]) -> Row:
    """What does not fit is cut from the left; the last token is predicted and takes no place."""
    most = _length(lm)
    if not 0 < len(continuation) <= most:
        why = f"longer than the {most} tokens that the model reads" if continuation else "without a token of its own"
        raise InputError(f"a task asks about a text {why}; leave its row out")
    ids = (*context, *continuation)[-(most + 1) :]
    return Row(ids, len(ids) - len(continuation))


def _windows(lm: LM, text: str) -> Iterator[Row]:
    windows = get_rolling_token_windows(_ids(lm, text), lm.encoder.first, max_seq_len=_length(lm), context_len=1)
    for window in windows:
        yield _row(lm, *make_disjoint_window(window))
