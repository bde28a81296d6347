"""Inference of frameworks, compared with onnxruntime on the exported file."""

import json

from tests.conftest import Command


def test_inference_is_compared_with_onnxruntime(crossframe: Command) -> None:
    words = ("infer", "--backend", "reference,mxnet", "--task", "circle", "--preset", "quick", "--batch-size", "1,8")
    done = crossframe(*words, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = {(row["backend"], row["runs"], row["batch_size"]): row for row in json.loads(done.stdout)}
    assert len(rows) == 8
    for backend, runs in (("reference", "numpy"), ("mxnet", "hybrid"), ("mxnet", "onnxruntime")):
        assert rows[backend, runs, 8]["samples_per_s"]["value"] > 0
        assert rows[backend, runs, 1]["p50_s"]["value"] > 0
    without_file = rows["reference", "onnxruntime", 1]
    assert without_file["state"] == "unsupported"
    assert without_file["p50_s"] is None
    assert "no file" in without_file["reason"]
