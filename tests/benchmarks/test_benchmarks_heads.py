"""The straightforward way to a certified head and ours come to the same weights, and the figures say what was seen."""

import numpy as np
import pytest
from benchmarks.heads import run, table

from benchmarks import heads
from unteach.methods.exact.heads.certifiedremoval import CertifiedRemoval


def test_the_straightforward_way_finds_the_same_minimum() -> None:
    rows, learner = table(120, 5), CertifiedRemoval(seed=1)
    state = learner.fit(rows)
    np.testing.assert_allclose(heads.retrained(learner, rows, state.noise), state.weights, atol=1e-7)
    implied = heads.implied(learner, rows, state.weights[0])
    np.testing.assert_allclose(implied, state.noise[0], atol=1e-8)


def test_every_figure_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    found = {f.what: f for f in run(300, 4, draws=60)}
    assert len(found) == 7
    assert found["decimals shared with the retrained head"].reached
    assert found["deletions of a row that one draw of the noise would allow"].reached
    seen = [found[f"epsilon that 60 draws show of a head that is {how}"] for how in ("deleted from", "left alone")]
    assert [f.reached for f in seen] == [True, True]
    assert "deletion of 75 rows" in capsys.readouterr().out
