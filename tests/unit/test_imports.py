"""Who may import whom: tasks know NumPy, a backend its own framework, and the harness no framework at all."""

import ast
import re
import sys
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.runtimes import discover as discover_runtimes

ROOT = Path(__file__).parents[2]
STANDARD = set(sys.stdlib_module_names) | {"__future__"}
FRAMEWORKS = {"torch", "tensorflow", "keras", "mxnet", "jax", "optax", "tf2onnx", "jax2onnx"}
WORKER_SIDE = (
    "worker.py",
    "__init__.py",
    "parity/__init__.py",
    "parity/probes.py",
    "parity/tracer.py",
    "measurement/__init__.py",
    "measurement/burden.py",
    "measurement/ceiling.py",
    "measurement/names.py",
    "measurement/operators.py",
    "measurement/predictor.py",
    "measurement/quality.py",
    "measurement/readback.py",
    "measurement/stopwatch.py",
    "measurement/timing.py",
    "measurement/training.py",
    "portability/__init__.py",
    "portability/cell.py",
    "portability/exporter.py",
    "portability/runtimes/__init__.py",
)
HEAVY = {"opencv": "cv2", "openvino": "openvino", "tract": "tract"}  # runtime -> its package
RUNTIMES = {"onnxruntime": "onnxruntime", "onnxruntime_cuda": "onnxruntime", "reference_evaluator": "onnx", **HEAVY}


def imported(file: Path) -> set[str]:
    """The modules that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides where it comes from"
            found.add(node.module or "")
    return found


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no code in {folder}"
    return found


@pytest.mark.parametrize("file", files("tasks"), ids=str)
def test_tasks_know_numpy_only(file: Path) -> None:
    allowed = STANDARD | {"numpy", "tasks"}
    if "data" in file.parts:
        allowed |= {"sklearn", "scipy", "pooch", "requests"}
    assert top(imported(file)) <= allowed


@pytest.mark.parametrize("file", files("backends"), ids=str)
def test_a_backend_imports_the_spec_the_contract_and_itself(file: Path) -> None:
    for name in imported(file):
        package, _, rest = name.partition(".")
        if package == "tasks":
            assert name in ("tasks", "crossframe.tasks.spec"), name
        elif package == "backends":
            assert rest == "contract" or rest.startswith(file.parent.name), name
        else:
            assert package != "harness", name


@pytest.mark.parametrize("file", files("harness"), ids=str)
def test_the_harness_knows_no_framework(file: Path) -> None:
    assert not top(imported(file)) & FRAMEWORKS
    named = re.findall(r"\b(torch|tensorflow|mxnet|jax|keras)\b", file.read_text(), re.IGNORECASE)
    assert not named, f"{file.name} names {named}"
    # The oracle is the judge's; every other backend is imported by the worker, by its name.
    backends = {name for name in imported(file) if name.startswith("backends.")}
    assert backends <= {"crossframe.backends.contract"} | {
        n for n in backends if n.startswith("crossframe.backends.reference")
    }


@pytest.mark.parametrize("name", WORKER_SIDE)
def test_what_a_worker_imports_needs_only_numpy(name: str) -> None:
    assert top(imported(ROOT / "harness" / name)) <= STANDARD | {"numpy", "tasks", "harness", "backends"}


@pytest.mark.parametrize("name", discover_runtimes())
def test_a_runtime_imports_its_own_package_alone(name: str) -> None:
    for file in files(f"harness/portability/runtimes/{name}"):
        assert top(imported(file)) == {"__future__", "numpy", RUNTIMES[name]}


@pytest.mark.parametrize(
    "package, homes",
    [
        ("plotly", ["page/panels.py"]),
        ("pyarrow", ["samples.py"]),
        (
            "onnxruntime",
            [
                "judge.py",
                "portability/reduce.py",
                *(f"portability/runtimes/onnxruntime{kind}/__init__.py" for kind in ("", "_cuda")),
            ],
        ),
        *((package, [f"portability/runtimes/{name}/__init__.py"]) for name, package in HEAVY.items()),
    ],
)
def test_heavy_packages_have_few_homes(package: str, homes: list[str]) -> None:
    users = [str(file.relative_to(ROOT / "harness")) for file in files("harness") if package in top(imported(file))]
    assert users == homes


def test_no_runnable_file_lies_in_backends() -> None:
    # Run as a script, it would put backends/ first on the path, and `import torch` would find our folder.
    for file in files("backends"):
        assert "__main__" not in file.read_text(), file
    assert len(discover()) >= 5
