"""Facts corrected, against the usual way to correct the same facts, on two small models that know them.

ROME, MEMIT, PMET, AlphaEdit and FT-L with the settings of the golden runs beside the models, the second moments that
they read, and two of their closed forms at the width of larger models. The changes of the weights must be equal.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.double import doubled
from benchmarks.figures import RESULTS, Figure, circumstances, kept, parser_of, ratio, save, shown
from benchmarks.page import placed
from benchmarks.paired import Differ, alike, one_thread, paired
from benchmarks.solutions import PROJECTED, SOLVED, projecting, solving
from benchmarks.straightforward import editing as straightforward
from benchmarks.straightforward.editing import Changes
from unteach.data.facts import read_facts
from unteach.lm.anatomy import anatomy
from unteach.lm.load import load
from unteach.lm.model import LM
from unteach.lm.stats import Moments, mlp_out, second_moments
from unteach.methods.facts.alphaedit import AlphaEdit
from unteach.methods.facts.background import Background
from unteach.methods.facts.descent import Descent
from unteach.methods.facts.ftl import FTL
from unteach.methods.facts.memit import MEMIT
from unteach.methods.facts.pmet import PMET
from unteach.methods.facts.rome import ROME
from unteach.methods.facts.values import Search
from unteach.schema import Fact, Request

PAGE, MARK = Path(__file__).parents[1] / "docs" / "benchmarks.md", "editing"
OPENING = """\
## The cost of correcting facts

Made by

```text
python -m benchmarks editing --data MODELS
```

The usual way optimises one value after another with the whole model and every logit, solves dense systems, and reads
second moments in a pass a layer (`benchmarks/straightforward/editing.py`). Timed in turns on one thread; the ratio is
the median of those of the pairs in processor time. Both ways must change the weights by the same, else nothing is shown:
in double precision to 1e-9 of the change's norm. What is timed runs in single precision: there to 1e-5, but FT-L, and PMET
on Llama's shape, to 5e-4, since their steps of Adam magnify rounding."""
FAMILIES = ("gpt2", "llama")
MANY = 100
EXACT = 1e-9  # of a change, in double precision
SAME = 1e-5  # in single precision
ROUNDED = (
    5e-4  # where Adam magnifies rounding: its first steps go by the signs of gradients, of which some are nearly 0
)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that knows facts, with what its golden runs were told; the usual way works on a copy of the model."""

    folder: Path
    family: str
    lm: LM
    copy: LM

    def told(self, tag: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads((self._place / self.family / tag / "info.json").read_text("utf-8"))
        return found["hparams"]

    @property
    def _place(self) -> Path:
        return self.folder / "easyedit"

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        edits = json.loads((self._place / f"edits_{self.family}.json").read_text("utf-8"))
        return read_facts(edits["memit_edits"])

    @cached_property
    def many(self) -> tuple[Fact, ...]:
        """One fact of each of the first subjects."""
        known = read_facts(self.folder / f"tiny_facts_{self.family}" / "facts.json")
        return tuple({f.subject: f for f in known}.values())[:MANY]

    @cached_property
    def texts(self) -> list[str]:
        found: list[str] = json.loads((self._place / "stats" / "corpus.json").read_text("utf-8"))
        return found

    def forms(self, kind: str) -> tuple[str, ...]:
        listed = json.loads((self._place / f"context_templates_{self.family}.json").read_text("utf-8"))[kind]
        return tuple(c for group in listed for c in ([group] if isinstance(group, str) else group))

    def search(self, tag: str, weaker: float | None = None) -> Search:
        names = ("v_num_grad_steps", "v_lr", "v_weight_decay", "clamp_norm_factor", "kl_factor")
        return Search(*(self.told(tag)[n] for n in names), weaker=weaker)

    @cached_property
    def moments(self) -> Moments:
        return second_moments(self.lm, self.texts, range(self.lm.layers))

    def by_path(self, layers: Sequence[int]) -> dict[str, Tensor]:
        """The second moment of each layer's map."""
        return {mlp_out(self.lm, n): self.moments.of[n] for n in layers}

    def edited(self, method: Any, facts: Sequence[Fact]) -> Changes:
        """What a method changes, given the second moments."""
        with patch.object(Background, "moments", lambda *_: self.moments):
            found: Changes = method(self.lm, Request(facts=facts)).delta(self.lm)
        return found


@dataclass(frozen=True)
class Case:
    """What is compared, how many times faster it should be for each family, and the two ways, made for a subject."""

    what: str
    goals: Mapping[str, float]
    ways: Callable[[Subject], tuple[Callable[[], Changes], Callable[[], Changes]]]
    per: int = 1
    rounded: frozenset[str] = frozenset()  # families with which rounding is magnified

    def within(self, family: str) -> float:
        """How far apart the two ways' changes may be in single precision."""
        return ROUNDED if family in self.rounded else SAME


def _rome(subject: Subject) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
    search, forms = subject.search("rome_mom2"), subject.forms("rome_flat")
    (layer,), fact = subject.told("rome_mom2")["layers"], subject.facts[0]
    path = mlp_out(subject.lm, layer)
    # What the last map of an MLP puts out is what the MLP does.
    peer = partial(straightforward.rome, subject.copy, fact, forms, path, path, subject.moments.of[layer], search)
    return peer, partial(subject.edited, ROME(layer=layer, search=search, forms=forms), [fact])


def _memit(subject: Subject, *, many: bool = False) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
    told, search, forms = subject.told("memit_batch10"), subject.search("memit_batch10"), subject.forms("memit_nested")
    layers, weight, facts = told["layers"], told["mom2_update_weight"], subject.many if many else subject.facts
    moments = subject.by_path(layers)
    solve, site = straightforward.dense(moments, weight), f"{anatomy(subject.lm.model).blocks}.{layers[-1]}"
    peer = partial(straightforward.spread, subject.copy, facts, forms, [site], list(moments), search, solve)
    ours = MEMIT(_listed(layers), weight / _width(moments), halves=True, search=search, forms=forms)
    return peer, partial(subject.edited, ours, facts)


def _pmet(subject: Subject) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
    tag = "pmet_batch10_rightpad"
    told, search, forms = subject.told(tag), subject.search(tag, weaker=0.01), subject.forms("memit_nested")
    layers, weight, where = told["layers"], told["mom2_update_weight"], anatomy(subject.lm.model)
    moments = subject.by_path(layers)
    sites = [f"{where.blocks}.{layers[-1]}.{half}" for half in (where.mlp_out, where.attn_out)]
    peer = partial(
        straightforward.spread, subject.copy, subject.facts, forms, sites, list(moments), search,
        straightforward.dense(moments, weight), root=True,
    )  # fmt: skip
    ours = PMET(_listed(layers), weight / _width(moments), halves=True, search=search, forms=forms)
    return peer, partial(subject.edited, ours, subject.facts)


def _alphaedit(subject: Subject) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
    tag = "alphaedit_batch10"
    told, search, forms = subject.told(tag), subject.search(tag), subject.forms("memit_nested")
    layers, threshold, ridge = told["layers"], told["nullspace_threshold"], told["L2"]
    moments = subject.by_path(layers)
    solve, site = straightforward.beside(moments, threshold, ridge), f"{anatomy(subject.lm.model).blocks}.{layers[-1]}"
    peer = partial(straightforward.spread, subject.copy, subject.facts, forms, [site], list(moments), search, solve)
    ours = AlphaEdit(_listed(layers), threshold, True, ridge, halves=True, search=search, forms=forms)
    return peer, partial(subject.edited, ours, subject.facts)


def _ftl(subject: Subject) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
    told, fact = subject.told("ft_l_single"), subject.facts[0]
    (layer,), rate, bound = told["layers"], told["lr"], told["norm_constraint"]
    peer = partial(straightforward.fine_tuned, subject.copy, [fact], mlp_out(subject.lm, layer), rate=rate, bound=bound)
    ours = FTL(layer=layer, bound=bound, absolute=True, descent=Descent(told["num_steps"], rate))
    return peer, partial(subject.edited, ours, [fact])


def _moments(subject: Subject) -> tuple[Callable[[], Changes], Callable[[], Changes]]:
    every = range(subject.lm.layers)
    paths = [mlp_out(subject.lm, n) for n in every]

    def ours() -> Changes:
        found = second_moments(subject.lm, subject.texts, every)
        return dict(zip(paths, found.of.values(), strict=True))

    return partial(straightforward.second_moments, subject.copy, subject.texts, paths), ours


def _both(goal: float) -> dict[str, float]:
    return dict.fromkeys(FAMILIES, goal)


CASES = {
    "rome": Case("ROME, one edit", _both(3.0), _rome),
    "memit": Case("MEMIT, 10 edits, per edit", {"gpt2": 4.0, "llama": 5.0}, _memit, per=10),
    "pmet": Case("PMET, 10 edits, per edit", _both(4.0), _pmet, per=10, rounded=frozenset({"llama"})),
    "alphaedit": Case("AlphaEdit, 10 edits, per edit", _both(4.0), _alphaedit, per=10),
    "ftl": Case("FT-L, one edit", _both(1.5), _ftl, rounded=frozenset(FAMILIES)),
    "moments": Case("second moments, all layers", _both(3.5), _moments),
    "memit100": Case(f"MEMIT, {MANY} edits, per edit", _both(6.0), partial(_memit, many=True), per=MANY),
}


def main(arguments: list[str]) -> None:
    """Compare, time, write the results, and show them on the page."""
    parser = parser_of("editing", __doc__, data="folder with tiny_facts_gpt2, tiny_facts_llama and easyedit")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"where they stand between the marks of '{MARK}'")
    add_options(parser)
    chosen = parser.parse_args(arguments)
    placed(chosen.page.read_text(encoding="utf-8"), "", MARK)  # refused before the long runs
    run(chosen)
    update(chosen.page)


def update(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write what the results say into the page."""
    text = "\n".join([*OPENING.splitlines(), "", *kept(results / "editing.json")])
    page.write_text(placed(page.read_text(encoding="utf-8"), text, MARK), encoding="utf-8")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this benchmark is told beside --data, --pairs and --device."""
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--only", nargs="+", choices=[*CASES, "solve", "projector"], help="others stay as they were")


def run(chosen: argparse.Namespace) -> list[Figure]:
    """Every figure, printed and written as it is found."""
    facts = circumstances(chosen.device)

    def written() -> Iterator[Figure]:
        for figure in _figures(chosen, chosen.only or [*CASES, "solve", "projector"]):
            save("editing", [figure], facts=facts, merge=True)
            yield figure

    return shown(written())


def _figures(chosen: argparse.Namespace, wanted: Sequence[str]) -> Iterator[Figure]:
    timed = partial(paired, pairs=chosen.pairs, device=chosen.device)
    for name, case in CASES.items():
        for family in chosen.families if name in wanted else ():
            subject = subject_of(Path(chosen.data), family, chosen.device)
            same(case, subject_of(Path(chosen.data), family, chosen.device))
            spent = timed(*case.ways(subject), partial(agree, case, within=case.within(family)))
            yield ratio(f"{case.what}, {family}", case.goals[family], spent, per=case.per, device=chosen.device)
    for name, what, goal, ways in (
        ("solve", f"MEMIT's solution, width {SOLVED}, 10 edits", 10.0, solving),
        ("projector", f"AlphaEdit's projector, width {PROJECTED}", 2.5, projecting),
    ):
        if name in wanted:
            yield ratio(what, goal, timed(*ways(device=chosen.device), partial(alike, what)), device=chosen.device)


def subject_of(folder: Path, family: str, device: str = "cpu") -> Subject:
    """A model and a copy of it."""
    return Subject(folder, family, *(load(folder / f"tiny_facts_{family}", device=device) for _ in range(2)))


def same(case: Case, subject: Subject) -> None:
    """Both ways change the same weights by the same in double precision."""
    with one_thread(), doubled(subject.lm, subject.copy):
        peer, ours = case.ways(subject)
        agree(case, peer(), ours(), within=EXACT)


def agree(case: Case, peer: Changes, ours: Changes, *, within: float) -> None:
    """Refuse two ways that change other weights, or by something else."""
    if only := peer.keys() ^ ours.keys():
        raise Differ(f"{case.what}: only one side changes {sorted(only)[0]}")
    alike(case.what, _flat(peer), _flat(ours), within=within)


def _flat(changes: Changes) -> Tensor:
    return torch.cat([changes[n].double().flatten() for n in sorted(changes)])


def _listed(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers))


def _width(moments: Mapping[str, Tensor]) -> int:
    return len(next(iter(moments.values())))
