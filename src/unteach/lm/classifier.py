"""A classifier of texts or of pairs of texts, by path or hub id; safetensors only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from unteach.lm.load import quiet
from unteach.schema import InputError

AT_ONCE = 32  # texts in one pass
LONGEST = 512  # tokens of a text that are read, where the model states no limit


@dataclass(frozen=True, eq=False)
class Classifier:
    """`labels` are the model's own, in lower case; `name` is how a report may call it."""

    model: Any
    tokenizer: Any
    name: str

    @property
    def labels(self) -> tuple[str, ...]:
        named = self.model.config.id2label
        return tuple(str(named[i]).casefold() for i in range(len(named)))

    @torch.no_grad()
    def __call__(self, texts: Sequence[tuple[str, ...]]) -> list[dict[str, float]]:
        """The probability of each label for each text, or for each pair of texts."""
        found: list[dict[str, float]] = []
        most = min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", LONGEST))
        for start in range(0, len(texts), AT_ONCE):
            columns = [list(column) for column in zip(*texts[start : start + AT_ONCE], strict=True)]
            batch = self.tokenizer(*columns, padding=True, truncation=True, max_length=most, return_tensors="pt")
            logits = self.model(**batch.to(self.model.device)).logits.float()
            several = self.model.config.problem_type == "multi_label_classification"
            shares = logits.sigmoid() if several else logits.softmax(-1)
            found += [dict(zip(self.labels, row, strict=True)) for row in shares.tolist()]
        return found


@dataclass(frozen=True)
class Judged:
    """For each text the greatest probability that a classifier gives to a label whose name holds `label`."""

    source: str
    label: str = "toxic"

    @property
    def name(self) -> str:
        return classifier(self.source).name

    def __call__(self, texts: Sequence[str]) -> list[float]:
        judge = classifier(self.source)
        labels = [n for n in judge.labels if self.label in n and not n.startswith(("non", "not"))]
        if not labels:
            raise InputError(f"{judge.name}: no label of it is named {self.label}; name a classifier that has one")
        return [max(shares[n] for n in labels) for shares in judge([(text,) for text in texts])]


@lru_cache(maxsize=2)
def classifier(source: str) -> Classifier:
    """Open a classifier; raises `InputError` for what cannot be opened."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with quiet():
            model = AutoModelForSequenceClassification.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as wrong:  # the library's readers share no class of errors
        raise InputError(
            f"{source}: cannot be opened as a text classifier ({type(wrong).__name__}); name a folder or hub id with "
            "config.json, tokenizer and safetensors"
        ) from wrong
    name = f"local {model.config.model_type} classifier" if Path(source).exists() else source
    return Classifier(model.eval().to(device), tokenizer, name)
