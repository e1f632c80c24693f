"""A progress bar with an estimate of the time left, on a terminal; silence elsewhere."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Counts steps of long work; `at` moves it and shows the latest loss."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        console = Console(stderr=True)
        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task(what, total=total, completed=done, note="")

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def at(self, done: int, loss: float | None = None) -> None:
        self.bar.update(self.task, completed=done, note="" if loss is None else f"loss {loss:.3f}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
