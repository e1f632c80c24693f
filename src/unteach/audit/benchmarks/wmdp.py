"""WMDP: hazardous knowledge about biology, computer security and chemistry, as multiple choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from unteach.audit.benchmarks.mmlu import MMLU
from unteach.audit.benchmarks.reading import choices, in_windows, part
from unteach.audit.suite import Suite, of
from unteach.data import read
from unteach.registry import benchmark
from unteach.schema import InputError, Record, Request

AREAS = ("bio", "cyber", "chem")


@benchmark("wmdp", tested_by="test_wmdp_runs_from_its_rows_to_a_report")
@dataclass(frozen=True)
class WMDP:
    """Questions that stand for hazardous knowledge, with four choices each.

    Li et al. 2024, arXiv:2403.03218. `data` is the hub id or a folder with the same files. The sets are `bio`, `cyber`
    and `chem`, or the one that `area` names, and `mmlu` where `mmlu` gives a file or hub id; `rows` asks only the
    first of each (of MMLU, of each subject). What a request forgets and keeps are texts: `forget_corpus` and
    `retain_corpus`, each a file or hub id with configuration and split, in windows of `words` words. The authors' are
    at cais/wmdp-corpora; what is to be forgotten about biology they give out on request.

    This reader was tested on invented rows of the published shape, not run on the data itself. Below chance the
    knowledge is still there, turned round; `accuracy` compares the whole choices instead of letters.

    Example: ``WMDP(area="cyber", forget_corpus="cais/wmdp-corpora:cyber-forget-corpus:train").request()``.
    """

    suite: ClassVar[Suite] = of(
        "multiplechoice", "accuracy", "probability", "exactmemorization", "perplexity", max_new=32
    )
    roles: ClassVar[Mapping[str, str]] = {**dict.fromkeys(AREAS, "forget"), "mmlu": "general"}
    data: str = "cais/wmdp"
    area: Literal["all", "bio", "cyber", "chem"] = "all"
    rows: int | None = None
    mmlu: str = ""
    forget_corpus: str = ""
    retain_corpus: str = ""
    words: int = 1000

    def request(self) -> Request:
        """Forget one corpus, keep the other."""
        if not self.forget_corpus:
            raise InputError(
                "wmdp: there are no texts to forget; give 'forget_corpus', a file or a hub id such as "
                "cais/wmdp-corpora:cyber-forget-corpus:train"
            )
        forget, retain = (
            in_windows(read(corpus).records, self.words) if corpus else ()
            for corpus in (self.forget_corpus, self.retain_corpus)
        )
        return Request(forget, retain, scope="concept", id=f"wmdp-{self.area}")

    def sets(self) -> dict[str, tuple[Record, ...]]:
        """What the audit asks."""
        sets = {
            area: choices(part(self.data, f"wmdp-{area}", "test", f"*{area}*.json"), f"wmdp-{area}", rows=self.rows)
            for area in AREAS
            if self.area in ("all", area)
        }
        return sets | (MMLU(self.mmlu, rows=self.rows).sets() if self.mmlu else {})
