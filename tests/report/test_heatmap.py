"""The figure of causal tracing has its cells, its frames and its inks where they belong."""

import pytest

from unteach.report.drawing import COLOURS, LIGHT_INK, standing, style
from unteach.report.heatmap import heatmap

TOKENS = ("last subject token", "last token")
KINDS = {
    "state": ((0.5, 0.1, 0.0), (0.0, 0.2, 0.9)),
    "mlp": ((0.1, 0.7, 0.2), (-0.2, 0.0, 0.0)),
    "attention": ((0.0, 0.0, 0.0), (0.0, 0.01, 0.0)),
}


def test_frames_stand_at_the_greatest_effect_and_among_states_before_the_end() -> None:
    with style("effects", {}):
        figure = heatmap(TOKENS, KINDS, 0.9, 3)
        panels = [axes for axes in figure.axes if axes.patches]
        frames = [(round(a.patches[0].get_y()), round(a.patches[0].get_x())) for a in panels]
        scales = [a.collections[0].get_clim()[1] for a in panels]
    assert frames == [(0, 0), (0, 1), (1, 1)]
    assert scales == [pytest.approx(0.9), pytest.approx(0.7), pytest.approx(0.09)]  # never less than a tenth of all
    assert all(label.get_text() in TOKENS for a in panels for label in a.get_yticklabels())


def test_cells_are_seen_on_light_and_on_dark() -> None:
    with style("effects", {}):
        text = standing(heatmap(TOKENS, KINDS, 0.9, 1)).decode("utf-8")
    assert "currentColor" in text
    assert LIGHT_INK in text
    assert "<image" not in text
    for name in ("purple", "green", "red"):
        assert COLOURS[name] in text
    assert "fill-opacity" in text  # an effect of 0 lets the page through
