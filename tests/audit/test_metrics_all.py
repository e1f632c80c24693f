"""What holds for all metrics."""

import ast
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from told import answer, evidence, record, telling

from unteach.audit.evidence import ROLES
from unteach.audit.suite import DEFAULT, FULL, OWN_ROWS
from unteach.registry import entries, find
from unteach.schema import Record

METRICS = [e for e in entries("metric") if e.module.startswith("unteach.audit.metrics.")]
PROBABILITIES = st.lists(st.floats(0, 1), min_size=0, max_size=6)


@given(st.data())
@settings(
    max_examples=25, phases=(Phase.reuse, Phase.generate), suppress_health_check=[HealthCheck.too_slow], deadline=None
)
def test_every_value_lies_within_its_bounds_and_its_interval(data: st.DataObject) -> None:
    memory: dict[tuple[str, str], object] = {}

    def says(r: Record):
        if (r.prompt, r.answer) not in memory:
            memory[r.prompt, r.answer] = answer(*data.draw(PROBABILITIES), ended=data.draw(st.booleans()))
        return memory[r.prompt, r.answer]

    n = data.draw(st.integers(1, 4))
    sets = {
        role: [record(i + 10 * k, perturbed=("w",), paraphrases=("p",)) for i in range(n)]
        for k, role in enumerate(ROLES)
    }
    text = data.draw(st.text(max_size=12))
    retrained = evidence(says, lambda _: text, **sets)
    found = evidence(says, lambda _: text, retrained=retrained, **sets)
    for metric in DEFAULT.build():
        for role in metric.directions:
            with telling():
                made = metric(found, role)
            if made.value is None:
                assert made.note
                continue
            low, high = metric.bounds
            assert low <= made.value <= high
            assert made.n >= 1
            assert (made.low is None) == (made.high is None)
            if made.low is not None:
                assert low - 1e-9 <= made.low <= made.value + 1e-9
                assert made.value - 1e-9 <= made.high <= high + 1e-9
            assert all(np.isfinite(v) or "holdout" in metric.needs for v in made.per_record.values())


@pytest.mark.parametrize("name", [e.name for e in METRICS])
def test_every_metric_is_one_documented_file_with_a_test_of_its_defining_property(name: str) -> None:
    entry = next(e for e in METRICS if e.name == name)
    cls = find("metric", name)
    assert entry.module.rpartition(".")[2] == name == cls.__name__.lower()
    assert set(cls.directions) <= set(ROLES)
    assert set(cls.companions) <= {e.name for e in METRICS} - {name}
    assert cls.companions
    assert entry.doc.startswith(entry.summary)
    assert entry.summary.endswith(".")
    assert "not show" in entry.doc or "not prove" in entry.doc or "0.5" in entry.doc
    assert name in {*(n for n, _ in FULL.metrics), *OWN_ROWS}
    tests = {
        node.name
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert entry.tested_by in tests
    built = cls()
    with pytest.raises(FrozenInstanceError):
        setattr(built, next((f.name for f in fields(cls)), "anything"), 1)
