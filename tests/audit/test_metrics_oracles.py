"""Metrics of real models against those of a package that many use."""

import pytest
import torch
from torchmetrics.text import Perplexity

import worlds
from unteach.audit.evidence import Evidence
from unteach.lm.model import LM
from unteach.registry import build


def test_perplexity_is_that_of_torchmetrics(lm: LM) -> None:
    """On all answer tokens of the rows, end-of-text included; theirs is summed in single precision."""
    theirs = Perplexity(ignore_index=-100)
    for record in worlds.RECORDS:
        row = lm.batch([record])
        labels = row.ids.masked_fill(~row.answer, -100)
        with torch.no_grad():
            theirs.update(lm.model(input_ids=row.ids).logits[:, :-1], labels[:, 1:])
    evidence = Evidence(lm, {"retain": worlds.RECORDS}, name="known")
    assert build("metric", "perplexity", {})(evidence, "retain").value == pytest.approx(
        float(theirs.compute()), rel=1e-5
    )
