"""The certified head on synthetic rows, against training it anew: what a deletion takes, where it lands, what it leaves.

Both sides want the same minimum under the same noise; the straightforward way takes plain Newton steps from 0. What one
draw of the noise allows is counted by the published bound and by the residual that is really left. At last the head is
drawn many times on few rows, to see whether the best linear test tells a deletion from training anew.
"""

import argparse
from collections.abc import Iterator
from math import log10
from statistics import median

import numpy as np

from benchmarks.figures import Figure, circumstances, ratio, save, shown
from benchmarks.paired import FEWEST, close, paired
from unteach.audit.epsilon import bound_of_scores
from unteach.lm.heads import Table
from unteach.methods.exact.heads.certifiedremoval import Certified, CertifiedRemoval

BATCHES = (1, 10, 100, 500, 2000)
MEASURED = 500  # rows in the deletion that is timed
SINGLES = 20  # deletions of one row each, whose residuals are looked at
FASTER, SECONDS, DECIMALS, ALLOWED, LOST = 5.0, 0.5, 8.0, 1000.0, 0.01
FEW, NARROW = 40, 3  # rows and features of the head that is drawn many times
GONE = 6
COARSE = {"strength": 0.05, "sigma": 0.03, "delta": 0.01, "tolerance": 9.4e-3}  # a deletion leaves nearly all it may


def main(arguments: list[str]) -> None:
    """Compare, count, and write the results."""
    parser = argparse.ArgumentParser("python -m benchmarks heads", description=__doc__)
    parser.add_argument("--rows", type=int, default=18_000)
    parser.add_argument("--width", type=int, default=256, help="features of a row")
    parser.add_argument("--pairs", type=int, default=FEWEST, help=f"runs of each side, at least {FEWEST}")
    parser.add_argument("--draws", type=int, default=2000, help="heads of few rows, to tell apart")
    chosen = parser.parse_args(arguments)
    figures = run(chosen.rows, chosen.width, pairs=chosen.pairs, draws=chosen.draws)
    save("heads", figures, facts=circumstances())


def run(n: int, d: int, *, pairs: int = FEWEST, draws: int = 2000) -> list[Figure]:
    """Every figure, printed as it is found."""
    rows, learner = table(n, d), CertifiedRemoval(seed=1)
    return shown(figures(learner, learner.fit(rows), rows, pairs=pairs, draws=draws))


def figures(learner: CertifiedRemoval, state: Certified, rows: Table, *, pairs: int, draws: int) -> Iterator[Figure]:
    """Of the large head, then of the one that is drawn many times."""
    n = len(rows.ids)
    yield from timed(learner, state, min(MEASURED, n // 4), pairs=pairs)
    yield landing(learner, state, [b for b in BATCHES if b < n / 2])
    yield allowed(learner, state)
    yield accuracy(learner, state, rows)
    yield from told_apart(draws)


def table(n: int, d: int, seed: int = 0) -> Table:
    """Directions drawn evenly, and classes by a logistic model of them."""
    dice = np.random.default_rng(seed)
    x = dice.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    chance = 1 / (1 + np.exp(-x @ dice.standard_normal(d) * 1.5))
    return Table(tuple(f"{i:06}" for i in range(n)), x, (dice.random(n) < chance).astype(int))


def retrained(learner: CertifiedRemoval, rows: Table, noise: np.ndarray) -> np.ndarray:
    """The minimum on the rows under this noise, by Newton steps from 0 that work the curvature out each time."""
    x, y, penalty, w = rows.x, rows.y, learner.strength * len(rows.ids), np.zeros(rows.x.shape[1])
    while True:
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (p - y) + penalty * w + noise[0]
        if np.linalg.norm(slope) < learner.tolerance:
            return w[None]
        w = w - np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + penalty * np.eye(len(w)), slope)


def timed(learner: CertifiedRemoval, state: Certified, many: int, *, pairs: int) -> Iterator[Figure]:
    """A deletion of so many rows, against training anew without them."""
    gone = state.table.ids[:many]

    def anew() -> np.ndarray:
        return retrained(learner, state.table.without(gone), state.noise)

    def agree(peer: np.ndarray, ours: np.ndarray) -> None:
        close("weights", peer, ours, within=10**-DECIMALS)

    spent = paired(anew, lambda: learner.delete(state, gone)[0].weights, agree, pairs=pairs)
    yield ratio(f"deletion of {many} rows", FASTER, spent)
    wall = spent[1].ours
    what = f"wall seconds of a deletion of {many} rows"
    yield Figure(what, median(wall), min(wall), max(wall), SECONDS, at_least=False)


def landing(learner: CertifiedRemoval, state: Certified, batches: list[int]) -> Figure:
    """To how many decimals a deleted head is the retrained one, in batches of all sizes."""
    found = []
    for many in batches:
        gone = state.table.ids[:many]
        aim = retrained(learner, state.table.without(gone), state.noise)
        found.append(-log10(np.linalg.norm(learner.delete(state, gone)[0].weights - aim)))
    return Figure("decimals shared with the retrained head", min(found), min(found), max(found), DECIMALS)


def allowed(learner: CertifiedRemoval, state: Certified) -> Figure:
    """How many deletions of one row one draw of the noise allows, by what is left and by the published bound."""
    left: list[float] = []
    for _ in range(SINGLES):
        state, guarantee = learner.delete(state, state.table.ids[:1])
        left.append(guarantee.numbers["residual"])
    theirs = SINGLES / guarantee.numbers["published_share"]
    ours = [learner.budget / r for r in (max(left), sum(left) / len(left), min(left))]
    what = "deletions of a row that one draw of the noise would allow"
    return Figure(
        what, ours[0] / theirs, ours[0] / theirs, ours[2] / theirs, ALLOWED, peer=theirs, ours=ours[0], unit="rows"
    )


def accuracy(learner: CertifiedRemoval, state: Certified, rows: Table) -> Figure:
    """What the noise costs on the rows themselves."""
    plain = retrained(learner, state.table, np.zeros_like(state.noise))
    right = [float((rows.y == (rows.x @ w[0] > 0)).mean()) for w in (plain, state.weights)]
    lost = right[0] - right[1]
    what = "share of rows said rightly that the noise costs"
    return Figure(what, lost, lost, lost, LOST, at_least=False, peer=100 * right[0], ours=100 * right[1], unit="%")


def told_apart(draws: int) -> Iterator[Figure]:
    """A lower bound on epsilon by the linear test that half of the draws choose, for heads of few rows.

    Of a head that is left alone it must be above what is certified, or the test could not see anything.
    """
    rows = table(FEW, NARROW, seed=3)
    gone = rows.ids[:GONE]
    left = rows.without(gone)
    found: dict[str, list[np.ndarray]] = {"deleted": [], "left alone": [], "retrained": []}
    for draw in range(draws):
        learner = CertifiedRemoval(**COARSE, seed=draw)
        state = learner.fit(rows)
        again = CertifiedRemoval(**COARSE, seed=draw + draws).fit(left)
        for name, s in zip(found, (learner.delete(state, gone)[0], state, again), strict=True):
            found[name].append(implied(learner, left, s.weights[0]))
    noises = {name: np.array(values) for name, values in found.items()}
    for name, kept in (("deleted", False), ("left alone", True)):
        seen = _bound(noises[name], noises["retrained"])
        what = f"epsilon that {draws} draws show of a head that is {'left alone' if kept else 'deleted from'}"
        yield Figure(what, seen, seen, seen, learner.epsilon, at_least=kept)


def implied(learner: CertifiedRemoval, rows: Table, w: np.ndarray) -> np.ndarray:
    """The noise under which these weights are the minimum on the rows: the most that can be read from a head."""
    p = 1 / (1 + np.exp(-rows.x @ w))
    return rows.x.T @ (rows.y - p) - learner.strength * len(rows.ids) * w


def _bound(ours: np.ndarray, theirs: np.ndarray) -> float:
    way = ours[::2].mean(0) - theirs[::2].mean(0)
    return bound_of_scores(ours[1::2] @ way, theirs[1::2] @ way, delta=COARSE["delta"])
