"""Pairs are run in turns, fail on a difference and never on time, and become a table and a page."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.figures import Figure, circumstances, kept, ratio, save, shown, table
from benchmarks.paired import Differ, Pairs, alike, close, paired

from benchmarks import auditing, speed, training

FIGURE = Figure("a step", 2.5, 2.4, 2.7, 2.0, peer=0.5, ours=0.2, wall=2.6)


def test_the_two_take_turns_on_one_thread_and_every_pair_is_compared() -> None:
    said, compared, threads = [], [], torch.get_num_threads()

    def say(word: str) -> str:
        assert torch.get_num_threads() == 1
        said.append(word)
        return word

    cpu, wall = paired(lambda: say("a"), lambda: say("b"), lambda a, b: compared.append((a, b)))
    assert said == ["a", "b"] * 5
    assert compared == [("a", "b")] * 5
    assert len(cpu.peer) == len(cpu.ours) == len(wall.peer) == len(wall.ours) == 5
    assert torch.get_num_threads() == threads
    with pytest.raises(ValueError, match="at least 5"):
        paired(lambda: 0, lambda: 0, lambda _a, _b: None, pairs=4)


def test_a_difference_is_a_failure_and_time_never_is() -> None:
    def agree(a: float, b: float) -> None:
        close("the number", a, b)

    with pytest.raises(Differ, match=r"the number: 1 and 1\.1 differ"):
        paired(lambda: 1.0, lambda: 1.1, agree)
    slow = paired(lambda: 1.0, lambda: time.sleep(0.01) or 1.0, agree)
    figure = ratio("slow", 100.0, slow)
    assert not figure.reached
    assert table([figure])[-1].endswith("| no |")


def test_values_agree_to_1e_5_relative_above_one_absolute_below() -> None:
    assert close("x", [1000.0, 0.0], [1000.009, 9e-6]) == pytest.approx(9e-6)
    for wrong in ([1000.02, 0.0], [1000.0, 2e-5], [1000.0], [1000.0, float("nan")]):
        with pytest.raises(Differ):
            close("x", [1000.0, 0.0], wrong)
    a = torch.tensor([3.0, 4.0])
    assert alike("x", a, a + torch.tensor([0.0, 4e-5])) == pytest.approx(8e-6, rel=1e-2)
    with pytest.raises(Differ):
        alike("x", a, a + 1e-4)


def test_a_figure_is_the_median_of_the_ratios_and_turns_round_for_costs() -> None:
    spent = Pairs((4.0, 6.0, 9.0, 8.0, 5.0), (2.0, 2.0, 2.0, 2.0, 2.0))
    figure = ratio("x", 3.0, (spent, spent), per=10)
    assert (figure.value, figure.low, figure.high, figure.reached) == (3.0, 2.0, 4.5, True)
    assert (figure.peer, figure.ours) == (0.6, 0.2)
    cost = ratio("x", 0.3, (spent, spent), at_least=False)
    assert (cost.value, cost.reached) == (pytest.approx(1 / 3), False)


def test_results_hold_the_circumstances_and_the_page_shows_them(tmp_path: Path) -> None:
    share = Figure("padding", 0.07, 0.06, 0.08, 0.08, at_least=False, unit="%")
    written = json.loads(save("training", shown([FIGURE, share]), facts=circumstances(), folder=tmp_path).read_text())
    assert {"machine", "device", "python", "torch", "transformers", "commit", "date"} == written["circumstances"].keys()
    assert [f["reached"] for f in written["figures"]] == [True, True]
    begin, end = (f"<!-- {slash}{speed.MARK} -->" for slash in ("", "/"))
    page = f"# Benchmarks\n\nabove\n\n{begin}\nold\n{end}\n\nbelow | kept\n"
    place = tmp_path / "page.md"
    place.write_text(page)
    speed.update(place, tmp_path)
    found = place.read_text()
    assert found.startswith(f"# Benchmarks\n\nabove\n\n{begin}\n## Speed\n")
    assert found.endswith(f"\n{end}\n\nbelow | kept\n")
    assert "old" not in found
    assert "| a step | 0.5 s | 0.2 s | 2.50 | 2.40 – 2.70 | ≥ 2.00 | yes |" in found
    assert "| padding | – | – | 7.0 % | 6.0 % – 8.0 % | ≤ 8.0 % | yes |" in found
    speed.update(place, tmp_path)
    assert place.read_text() == found
    place.write_text("# Benchmarks\n")
    with pytest.raises(SystemExit, match="no place for this part"):
        speed.update(place, tmp_path)


def test_a_part_of_a_benchmark_leaves_the_other_lines_unless_the_machine_is_another(tmp_path: Path) -> None:
    here = circumstances() | {"machine": "A", "commit": "1"}
    later = here | {"commit": "2"}
    other = replace(FIGURE, what="another step")

    def lines(path: Path) -> dict[str, float]:
        return {f["what"]: f["value"] for f in json.loads(path.read_text())["figures"]}

    save("x", [FIGURE, other], facts=here, folder=tmp_path, merge=True)
    path = save("x", [replace(other, value=3.0)], facts=later, folder=tmp_path, merge=True)
    assert lines(path) == {"a step": 2.5, "another step": 3.0}
    assert kept(path)[2:4] == table([FIGURE, replace(other, value=3.0)])[2:]
    assert kept(path)[-1] == "Not measured again since commit 1: a step."
    assert lines(save("x", [other], facts=here | {"machine": "B"}, folder=tmp_path, merge=True)) == {
        "another step": 2.5
    }
    assert lines(save("x", [FIGURE], facts=here, folder=tmp_path)) == {"a step": 2.5}


def test_a_figure_short_of_its_goal_says_so() -> None:
    assert table([replace(FIGURE, goal=2.6)])[-1].endswith("| ≥ 2.60 | no |")


def test_the_command_line_lists_names_and_tells_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks"], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    for name in ("training", "audit", "speed"):
        assert name in done.stderr
    for module, flag in ((training, "--data"), (auditing, "--models"), (speed, "--models")):
        with pytest.raises(SystemExit):
            module.main([])
        assert flag in capsys.readouterr().err
