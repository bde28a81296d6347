"""The files of the neutral writer compute what the reference model computes, for every layer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx.reference import ReferenceEvaluator

from crossframe.backends.reference import prepare
from crossframe.harness.portability import spec_onnx
from crossframe.tasks import spec
from tests.support.layer_cases import CASES, draw_arrays, draw_batches, make_task


@pytest.mark.parametrize("opset", [14, 17, 21])
@pytest.mark.parametrize("name", CASES)
def test_a_file_computes_its_network(name: str, opset: int) -> None:
    task = make_task(name)
    arrays = {key: value.astype(np.float64) for key, value in draw_arrays(task).items()}
    model = spec_onnx.write_model(task, arrays, opset)
    onnx.checker.check_model(model, full_check=True)
    x = draw_batches(1)[0][0].astype(np.float64)
    (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    # Attributes of ONNX are float32: an epsilon of 1e-5 is off by 2e-8 of itself. The evaluator's Erf is float32.
    assert_allclose(y, prepare(task, arrays, "cpu").predict(x), atol=1e-6 if task.has(spec.GELU) else 1e-8)
