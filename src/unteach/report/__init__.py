"""Reports of an audit: one HTML page, JSON, CSV, Markdown, LaTeX, figures and a model card.

Everything here reads a `Report` and nothing else; it needs no torch, and matplotlib only for figures.
"""

from unteach.report.atomic import folder
from unteach.report.card import model_card
from unteach.report.figures import figures, save_figures
from unteach.report.files import FILES, from_json, read, to_json, write
from unteach.report.page import html
from unteach.report.text import csv_table, latex, markdown

__all__ = [
    "FILES",
    "csv_table",
    "figures",
    "folder",
    "from_json",
    "html",
    "latex",
    "markdown",
    "model_card",
    "read",
    "save_figures",
    "to_json",
    "write",
]
