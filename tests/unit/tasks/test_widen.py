"""Tasks that are widened by a factor."""

import pytest

from crossframe.tasks import discover
from crossframe.tasks.widen import split_name, widen

QUICK = {name: presets["quick"] for name, presets in discover().items()}


@pytest.mark.parametrize("name", QUICK)
def test_a_widened_task_has_the_same_operations_with_more_to_do(name: str) -> None:
    plain, large = QUICK[name], widen(QUICK[name], 4)
    assert (large.name, large.batch_size) == (f"{name}-x4", 4 * plain.batch_size)
    assert split_name(large.name) == (name, 4)
    assert split_name(name) == (name, 1)
    assert widen(plain, 1) == plain
    assert [type(layer) for layer in large.layers] == [type(layer) for layer in plain.layers]
    assert (large.input_shape, large.output_shape()) == (plain.input_shape, plain.output_shape())
    assert large.parameters().keys() == plain.parameters().keys()
    # The first and last layer grow on one side only, all others on both.
    assert 4 * plain.flops() <= large.flops() <= 16 * plain.flops()
