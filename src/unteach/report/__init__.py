"""Reports of an audit: one HTML page, JSON, CSV, Markdown, LaTeX, figures and a model card.

Everything here reads a `Report` and nothing else; it needs no torch, and matplotlib only for figures.
"""

from unteach.report.atomic import folder
from unteach.report.card import model_card
from unteach.report.contest import write_contest
from unteach.report.figures import figures, save_figures
from unteach.report.files import FILES, from_json, read, read_runs, to_json, write
from unteach.report.page import html
from unteach.report.records import records_csv
from unteach.report.spread import Seeds, seeds
from unteach.report.spread_text import SEED_FILES, seeds_csv, seeds_latex, seeds_markdown, write_seeds
from unteach.report.text import attacks_csv, csv_table, latex, markdown

__all__ = [
    "FILES",
    "SEED_FILES",
    "Seeds",
    "attacks_csv",
    "csv_table",
    "figures",
    "folder",
    "from_json",
    "html",
    "latex",
    "markdown",
    "model_card",
    "read",
    "read_runs",
    "records_csv",
    "save_figures",
    "seeds",
    "seeds_csv",
    "seeds_latex",
    "seeds_markdown",
    "to_json",
    "write",
    "write_contest",
    "write_seeds",
]
