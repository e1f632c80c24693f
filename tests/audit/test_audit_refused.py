"""What cannot be audited is refused in one sentence, before a model is asked."""

from typing import Any

import pytest

from unteach.audit.audit import audit
from unteach.audit.suite import Suite, of
from unteach.schema import InputError, Record


@pytest.mark.parametrize(
    ("models", "sets", "roles", "message"),
    [
        ({"edited": None}, {}, {}, "an audit needs the model as it was; give it as 'original'"),
        ({"original": None}, {"x": [1]}, {"x": "keep"}, "set 'x' has no known role; give it one of forget, retain"),
        ({"original": None}, {"x": [1]}, {}, "set 'x' has no known role"),
        ({"original": None}, {"x": []}, {"x": "forget"}, "set 'x' holds no rows"),
    ],
)
def test_what_cannot_be_audited_is_refused_by_name(models: Any, sets: Any, roles: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        audit(models, sets, roles=roles)


def test_an_unknown_metric_or_option_is_refused_before_a_model_is_asked() -> None:
    def opened_too_early() -> Any:
        pytest.fail("the model was opened")

    for suite, message in (
        (of("probabilty"), "there is no metric 'probabilty'; did you mean 'probability'"),
        (Suite((("miamink", {"share": 0.2}),)), "metric 'miamink' has no option 'share'; it has k"),
        (Suite((("miamink", {"k": 2.0}),)), "above 0 and at most 1"),
    ):
        with pytest.raises(InputError, match=message):
            audit({"original": opened_too_early}, {"x": [Record("a", "b", "c")]}, roles={"x": "forget"}, suite=suite)
