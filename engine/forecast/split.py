"""Time-ordered split with gaps: train | gap | early stopping | gap | test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STOPPING_SHARE = 0.12
TEST_SHARE = 0.20


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of samples (not rows), each ascending, none in two slices."""

    train: NDArray[np.intp]
    stopping: NDArray[np.intp]
    test: NDArray[np.intp]


def split_in_time(
    ends: NDArray[np.intp],
    gap: int,
    stopping_share: float = STOPPING_SHARE,
    test_share: float = TEST_SHARE,
) -> Split:
    """Split samples by time so that no row or label bar is shared between slices.

    Args:
        ends: The row each sample's window ends with, ascending.
        gap: Rows between the last end of one slice and the first end of the next; window plus
            lookahead leaves nothing shared.
        stopping_share: Share of the samples that early stopping watches.
        test_share: Share of the samples, the newest, that nothing is fitted on.
    """
    count = len(ends)
    test_from = count - round(count * test_share)
    stopping_from = test_from - round(count * stopping_share)
    positions = np.arange(count, dtype=np.intp)
    if not 0 < stopping_from < test_from < count:
        nothing = positions[:0]
        return Split(positions, nothing, nothing)
    before_stopping = ends < ends[stopping_from] - gap
    before_test = ends < ends[test_from] - gap
    return Split(
        train=positions[before_stopping],
        stopping=positions[(positions >= stopping_from) & before_test],
        test=positions[test_from:],
    )
