"""All paired comparisons after each other, and the section that shows them on the page of benchmarks."""

from pathlib import Path

from benchmarks import auditing, training
from benchmarks.figures import RESULTS, kept, parser_of
from benchmarks.page import placed

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
MARK = "speed"
PARTS = {"training": "Training to forget", "audit": "Audit"}  # file of results, heading
MEANT = """\
Each line compares our way with a straightforward implementation of the usual one (`benchmarks/straightforward`), or one
of our own steps with a plain one. Both run alternately on one thread, at least five times; the ratio is the median of
those of the pairs, in processor time (on an accelerator in wall time), the spread goes from the least to the greatest.
Losses and gradients at the same weights and every value of the audit must be equal to 1e-5 (values below 1 absolutely,
others relative), the change of the weights over a whole training to 1e-3; time alone never fails. A training's time is
that of ten epochs, with our pass over the reference, divided by its steps. `small` has 1.3 million parameters, `mid`
17.3 million."""


def main(arguments: list[str]) -> None:
    """Run everything, then bring the page up to date."""
    parser = parser_of("speed", __doc__)
    training.add_options(parser)
    auditing.add_options(parser)
    parser.add_argument(
        "--page", type=Path, default=PAGE, help=f"where the section stands between the marks of '{MARK}'"
    )
    chosen = parser.parse_args(arguments)
    placed(chosen.page.read_text(encoding="utf-8"), "", MARK)  # refused before the long runs
    training.run(chosen)
    auditing.run(chosen)
    update(chosen.page)


def update(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write the section of the results into the page."""
    page.write_text(placed(page.read_text(encoding="utf-8"), section(results), MARK), encoding="utf-8")


def section(results: Path = RESULTS) -> str:
    """What the results say, as Markdown."""
    lines = ["## Speed", "", "Made by", "", "```text", "python -m benchmarks speed --data TOFU --models MODELS", "```", "",
             MEANT]  # fmt: skip
    for name, heading in PARTS.items():
        path = results / f"{name}.json"
        if path.exists():
            lines += ["", f"### {heading}", "", *kept(path)]
    return "\n".join(lines)
