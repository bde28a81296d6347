"""The operators of a profile."""

import pytest

from crossframe.backends.contract import OperatorCost
from crossframe.harness.worker.measurements import OperatorTime
from crossframe.harness.worker.profiling import LISTED, OTHERS, list_longest


def test_the_longest_operators_have_rows_of_their_own_and_the_rest_shares_one() -> None:
    rows = list_longest([OperatorCost(f"o{number}", 2, 1.0 + number) for number in range(30)])
    assert len(rows) == LISTED + 1
    assert rows[0] == OperatorTime("o29", 2, 30.0)
    assert rows[-1] == OperatorTime(OTHERS, 20, sum(range(1, 11)))


def test_few_operators_all_have_rows_of_their_own() -> None:
    assert list_longest([OperatorCost("a", 1, 0.1), OperatorCost("b", 1, 0.2)]) == [
        OperatorTime("b", 1, 0.2),
        OperatorTime("a", 1, 0.1),
    ]


def test_a_profiler_that_saw_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="saw no operator"):
        list_longest([])


@pytest.mark.parametrize("cost", [OperatorCost("negative", 1, -0.1), OperatorCost("negative", -1, 0.1)])
def test_negative_costs_are_an_error(cost: OperatorCost) -> None:
    with pytest.raises(ValueError, match="calls and seconds of 0 or more"):
        list_longest([OperatorCost("a", 1, 0.1), cost])
