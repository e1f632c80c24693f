"""The parts of `python -m benchmarks editors`, each kept on disk when it is done."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.corrections import AT_ONCE, LOCATED, METHODS, NONE, before, corrected, ready, sources
from benchmarks.hundred import AT_ONCE as TOGETHER
from benchmarks.hundred import IN_SEQUENCE, Course, Point, at_once, course, in_sequence
from benchmarks.parts import kept
from unteach.lm.model import LM
from unteach.schema import Fact, InputError

FIRST: Mapping[str, Mapping[str, Any]] = {"rome": {"layer": 0}, "rrome": {"layer": 0}, "emmet": {"layers": "0"}}
READ, ASKED = 500, slice(800, 1000)  # texts of the corpus: for second moments, for perplexity


@dataclass(frozen=True, eq=False)
class Runs:
    """A model, where its runs are kept, texts of the kind that it was taught, and facts that no editor practised on."""

    lm: LM
    place: Path
    corpus: Path
    own: Sequence[Fact]

    def table(self, data: Path, count: int) -> None:
        """Every method on every benchmark, in parts of a few facts; each benchmark has its first part before a second."""
        asked = sources(data, self.own, count)
        for first in range(0, count, AT_ONCE):
            for benchmark, facts in asked.items():
                self._part(benchmark, first, facts[first : first + AT_ONCE])

    def _part(self, benchmark: str, first: int, facts: Sequence[Fact]) -> None:
        folder = self.place / "table" / benchmark.replace(" ", "-")
        paths = {name: folder / f"{name}-{first}.json" for name in (NONE, *METHODS)}
        if all(path.exists() for path in paths.values()):
            return
        then = before(self.lm, facts)
        kept(paths.pop(NONE), lambda: {"rows": [values for _, values in then], "failed": [], "seconds": []})
        for name, path in paths.items():
            found = kept(path, lambda name=name: self._corrected(name, facts, then))
            print(benchmark, first, name, f"{sum(found['seconds']):.0f} s", found["failed"][:1], flush=True)

    def _corrected(self, name: str, facts: Sequence[Fact], then: Any) -> dict[str, list[Any]]:
        try:
            method = ready(self.lm, name, self._options(name))
        except InputError as refused:
            return {"rows": [], "failed": [str(refused)] * len(facts), "seconds": []}
        return corrected(self.lm, method, facts, then)

    def many(self, facts: Sequence[Fact]) -> None:
        """A hundred facts at once and in sequence, by the methods of which there is more than one edit to tell."""
        given = course(self.lm, facts, self._texts[ASKED])
        ways = (("at once", TOGETHER, at_once), ("in sequence", IN_SEQUENCE, in_sequence))
        for way, name, run in [(way, name, run) for way, names, run in ways for name in names]:
            path = self.place / "many" / f"{name}-{way.replace(' ', '-')}.json"
            found = kept(path, lambda name=name, run=run: self._course(given, name, run))
            print(name, way, found["points"][-1:], found["ended"], flush=True)

    def _course(
        self, given: Course, name: str, run: Callable[[Course, Any], tuple[list[Point], str]]
    ) -> dict[str, Any]:
        points, ended = run(given, ready(self.lm, name, self._options(name)))
        return {"points": [asdict(point) for point in points], "ended": ended}

    @cached_property
    def _texts(self) -> list[str]:
        found: list[str] = json.loads(self.corpus.read_text(encoding="utf-8"))
        return found

    def _options(self, name: str) -> Mapping[str, Any]:
        """Defaults; a single layer to write into is the first, where this model's facts lie (`unteach trace-effect`)."""
        if name in ("mend", "ke"):
            return {"editor": str(self.place / name)}
        if name not in LOCATED:
            return {}
        text = self.place / "corpus.txt"
        if not text.exists():
            text.write_text("\n\n".join(self._texts), encoding="utf-8")
        return {"corpus": str(text), "samples": READ, "cache": str(self.place / "moments"), **FIRST.get(name, {})}
