"""Presidio's analyzer as one more recogniser; an optional extra."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unteach.data.personal.piece import Piece, Recogniser
from unteach.schema import InputError


@dataclass(frozen=True, eq=False)
class Analyzed:
    """What an analyzer finds with a score of at least `least`; two spellings are two things, but for case."""

    analyzer: Any
    language: str
    least: float

    def __call__(self, text: str) -> Iterator[Piece]:
        for found in self.analyzer.analyze(text=text, language=self.language, score_threshold=self.least):
            yield Piece(found.entity_type, found.start, found.end, text[found.start : found.end].casefold())


def presidio(pipeline: str, least: float = 0.5) -> Recogniser:
    """Presidio on a spaCy pipeline that is installed ("en_core_web_lg"), or on an empty one of a language ("en").

    An empty pipeline finds what has a form and no names. Nothing is downloaded.
    """
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ImportError as missing:
        raise InputError("Presidio is not installed; install unteach[pii], or leave 'presidio' out") from missing
    language = pipeline.partition("_")[0]
    try:
        engine = SpacyNlpEngine()
        engine.nlp = {language: spacy.load(pipeline) if "_" in pipeline else spacy.blank(language)}
    except (OSError, ImportError) as wrong:
        raise InputError(
            f"there is no spaCy pipeline '{pipeline}'; name an installed one, or a language such as en"
        ) from wrong
    return Analyzed(AnalyzerEngine(nlp_engine=engine, supported_languages=[language]), language, least)
