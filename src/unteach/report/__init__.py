"""Reports of an audit: one HTML page, JSON, CSV, Markdown, LaTeX, figures and a model card.

Everything here reads a `Report` and nothing else; it needs no torch, and matplotlib only for figures.
"""

from unteach.report.card import model_card
from unteach.report.figures import figures, save_figures
from unteach.report.files import from_json, to_json, write
from unteach.report.page import html
from unteach.report.text import csv_table, latex, markdown

__all__ = [
    "csv_table",
    "figures",
    "from_json",
    "html",
    "latex",
    "markdown",
    "model_card",
    "save_figures",
    "to_json",
    "write",
]
