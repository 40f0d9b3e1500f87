"""Sure independence screening: the formulas that correlate best with what is not explained yet.

Formulas with the most operators are by far the most, and few of them correlate well enough to be
kept. Correlations are sums over rows of products of two columns, so those of whole tables of
formulas are matrix products; only formulas that promise to be kept are ever evaluated.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlmd.model.sisso.space import LARGEST, SMALLEST, Block, Expression, Join, Space, usable

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray

_PIECE = 64
_SAME = 1e-10
_FLAT = 1e-11  # variance over squares, below which their difference is rounding
_SLACK = 1 - 1e-4


def screen(
    space: Space, residual: FloatArray, n: int, taken: Sequence[FloatArray] = ()
) -> list[tuple[Expression, FloatArray]]:
    """Return the `n` candidates that correlate best with `residual` and their values, best first.

    Candidates that are a straight line of one another, or of one `taken`, count once.
    """
    best = _Best(residual, n, taken)
    for one in space.candidates():
        if isinstance(one, Block):
            best.offer(_correlations(one.columns, best.aim), one.of)
        else:
            best.offer(np.where(one.allowed(), _estimates(one, best.aim), 0.0).ravel(), one.of)
    return best.found


class _Best:
    """The best candidates so far, none of them a straight line of another or of one taken."""

    def __init__(self, residual: FloatArray, n: int, taken: Sequence[FloatArray]) -> None:
        self._n = n
        aim = residual - residual.mean()
        size = float(np.linalg.norm(aim))
        self.aim = aim / size if size > 0 else aim
        self._taken = [_direction(column) for column in taken]
        self._scores: list[float] = []  # negative, so that they ascend
        self._directions: list[FloatArray] = []
        self.found: list[tuple[Expression, FloatArray]] = []

    def offer(self, scores: FloatArray, make: Callable[[IntArray], Block]) -> None:
        """Look at candidates that score about so much; `make` evaluates some of them."""
        promising = np.flatnonzero(scores > _SLACK * self._least)
        order = promising[np.argsort(-scores[promising], kind="stable")]
        for start in range(0, len(order), _PIECE):
            part = order[start : start + _PIECE]
            if scores[part[0]] <= _SLACK * self._least:
                break
            block = make(part)
            for j, score in enumerate(_correlations(block.columns, self.aim)):
                if score > self._least:
                    self._add(float(score), block, j)

    @property
    def _least(self) -> float:
        return -self._scores[-1] if len(self._scores) == self._n else 0.0

    def _add(self, score: float, block: Block, j: int) -> None:
        column = block.columns[:, j].copy()
        direction = _direction(column)
        others = np.array([*self._taken, *self._directions]).reshape(-1, len(column))
        if np.any(np.abs(others @ direction) >= 1 - _SAME):
            return
        place = bisect(self._scores, -score)
        self._scores.insert(place, -score)
        self._directions.insert(place, direction)
        self.found.insert(place, (block.write(j), column))
        del self._scores[self._n :], self._directions[self._n :], self.found[self._n :]


def _correlations(columns: FloatArray, aim: FloatArray) -> FloatArray:
    """Return the size of each column's correlation with the aim, 0 for unusable ones."""
    good = usable(columns)
    clean = np.where(good, columns, 0.0)
    centred = clean - clean.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    scores: FloatArray = np.abs(aim @ centred) / np.where(norms > 0, norms, 1.0)
    return np.where(good, scores, 0.0)


def _estimates(join: Join, aim: FloatArray) -> FloatArray:
    """Return about how well each pair correlates with the aim, by matrix products alone."""
    a, b, n = join.few.columns, join.many.columns, len(aim)
    with np.errstate(all="ignore"):
        if join.operator in ("+", "-"):
            sign = 1.0 if join.operator == "+" else -1.0
            mean = a.mean(axis=0)[:, None] + sign * b.mean(axis=0)
            a, b = a - a.mean(axis=0), b - b.mean(axis=0)
            apart = np.sum(a * a, axis=0)[:, None] + np.sum(b * b, axis=0)
            variance = apart + 2.0 * sign * (a.T @ b)
            covariance = (aim @ a)[:, None] + sign * (aim @ b)
            squares = variance + n * mean**2
            varies = variance > _FLAT * apart
        else:
            if join.operator == "/":
                a, b = (_inverse(a), b) if join.turned else (a, _inverse(b))
            squares = (a * a).T @ (b * b)
            variance = squares - (a.T @ b) ** 2 / n
            covariance = (a * aim[:, None]).T @ b
            varies = variance > _FLAT * squares
        # The largest value is at least the root of the mean square, at most that of the sum.
        good = varies & (squares <= n * LARGEST**2) & (squares >= SMALLEST**2)
        scores: FloatArray = np.where(good, np.abs(covariance) / np.sqrt(variance), 0.0)
    return scores


def _inverse(columns: FloatArray) -> FloatArray:
    inverse: FloatArray = np.where(columns == 0, 0.0, 1.0 / columns)
    return inverse


def _direction(column: FloatArray) -> FloatArray:
    centred = column - column.mean()
    direction: FloatArray = centred / np.linalg.norm(centred)
    return direction
