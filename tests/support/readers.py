"""All readers of files, each with a valid file: it returns a value, or raises an error that names what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossframe.backends.manifest import Manifest, ManifestError, read_manifest
from crossframe.harness.decision.criteria import CRITERIA, read_criteria
from crossframe.harness.errors import UsageError
from crossframe.harness.launch.leavings import Ending, read_arrays, read_log, read_measures
from crossframe.harness.machine.cache import read_cached, read_cached_arrays
from crossframe.harness.machine.environments import InstallReceipt
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.result import ParityResult
from crossframe.harness.plan.estimate import read_timings
from crossframe.harness.plan.inputs import inputs_path, write_inputs
from crossframe.harness.plan.plan import make_plan
from crossframe.harness.portability import run_models, single_file
from crossframe.harness.portability.checks import read_stage
from crossframe.harness.portability.inspect_model import read_structure
from crossframe.harness.portability.run_models import UnreadableError
from crossframe.harness.records import store
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.model import RunOptions
from crossframe.harness.run.folder import compute_baseline
from crossframe.harness.run.pins import pin_inputs, read_pins
from crossframe.harness.selftest.model import ClockCheck
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State
from crossframe.tasks import data, discover
from crossframe.tasks.data import cifar10
from tests.conftest import ROOT
from tests.support.data_files import make_cifar_members, make_mnist_files, make_tarball
from tests.support.models import write_one_node
from tests.support.synthetic import make_record, save_run

VERSION1 = ROOT / "results" / "2026-11-21-two-cores"
AUTOENCODER, CIRCLE, CNN = (discover()[name]["quick"] for name in ("autoencoder", "circle", "cnn"))
PLAN = make_plan(
    RunOptions(task=["circle"], backend=["reference"], device="cpu", preset="quick", cpus=[0], parity=False)
)


@dataclass(frozen=True)
class Reader:
    """A reader of one file."""

    file: str  # below the folder of the test
    write: Callable[[Path], object]  # writes the valid file, and what belongs to it, into a folder
    read: Callable[[Path], object]  # reads the file in the folder
    errors: tuple[type[Exception], ...] = ()  # that it raises


def write_run(folder: Path) -> None:
    save_run(folder, [make_record("a", 1, 0.01), make_record("b", 1, 0.02)])
    (folder / "ceilings.json").write_text('{"schema": 2, "measured": []}')
    report = {"schema": 2, "name": "run", "concurrency": 1, "device": "cpu", "files": [], "results": []}
    (folder / "portability.json").write_text(json.dumps({**report, "opset_ranges": []}))


def write_version1(folder: Path) -> None:
    for name in ("run.json", "ceilings.json", "portability.json"):
        (folder / name).write_bytes((VERSION1 / name).read_bytes())
    lines = (VERSION1 / "records.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "records.jsonl").write_bytes(b"".join(lines[:2]))


def write_measures(folder: Path) -> None:
    plain = json.loads(to_json(make_record("a", 1, 0.01).measurements)) | json.loads(to_json(Ending(State.OK, None)))
    (folder / "measures.json").write_text(json.dumps(plain))


def write_arrays(folder: Path) -> None:
    arrays = {f"weights/{name}": np.ones(shape, np.float32) for name, shape in CIRCLE.parameters().items()}
    np.savez(folder / "outputs.npz", outputs=np.ones((360, 1), np.float32), **arrays)  # type: ignore[arg-type]


def write_reference(folder: Path) -> None:
    write_one_node(folder, shape=["n", 4])
    x = np.ones((9, 4), np.float32)
    np.savez(folder / "io.npz", **{"input/x": x, "output/y": x})  # type: ignore[arg-type]


def read_reference(folder: Path) -> object:
    return single_file.make_vectors(read_structure(folder / "model.onnx"), folder / "io.npz")


def write_task_inputs(folder: Path) -> None:
    path = inputs_path(folder, PLAN.jobs[0].cell)
    write_inputs(path, CIRCLE, None, None)
    pin_inputs(folder)


def read_task_inputs(folder: Path) -> object:
    return run_models.load_inputs(folder, PLAN.jobs[0].cell)


def write_digits(folder: Path) -> None:
    x = np.random.default_rng(0).random((20, 64), np.float32)
    np.savez(folder / "digits.npz", x_train=x, x_test=x[:5])


def write_manifest(folder: Path) -> None:
    source = ROOT / "backends" / "torch"
    for path in (source / "backend.toml", *source.glob("*.txt")):
        (folder / path.name).write_bytes(path.read_bytes())


def write_data(folder: Path) -> None:
    for name, content in make_mnist_files(30, 10).items():
        (folder / name).write_bytes(content)
    (folder / cifar10.FILE).write_bytes(make_tarball(make_cifar_members()))


def read_data(name: str) -> Callable[[Path], object]:
    return lambda folder: data.load(CNN, name, folder)


def write_json(name: str, value: object) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(to_json(value))


CHECK = Check("first epoch", "weights", 1, "dense1.w", 1e-6, None, 1e-4, passed=True)
VERDICT = ParityResult(State.OK, None, dialect={"adam_epsilon": "inside"}, modes=["eager"], checks=[CHECK])
CLOCK = ClockCheck("torch", "cpu", State.OK, None, 0.1, 0.05, 0.01)
INPUTS = f"inputs/{inputs_path(Path(), PLAN.jobs[0].cell).name}"
READERS = {
    "records": Reader("records.jsonl", write_run, store.read, (store.NoRunError,)),
    "run": Reader("run.json", write_run, store.read_run, (store.NoRunError,)),
    "ceilings": Reader("ceilings.json", write_run, store.read_ceilings),
    "portability": Reader("portability.json", write_run, store.read_portability),
    "records of version 1": Reader("records.jsonl", write_version1, store.read, (store.NoRunError,)),
    "run of version 1": Reader("run.json", write_version1, store.read_run, (store.NoRunError,)),
    "ceilings of version 1": Reader("ceilings.json", write_version1, store.read_ceilings),
    "portability of version 1": Reader("portability.json", write_version1, store.read_portability),
    "timings": Reader("run.json", write_run, lambda folder: read_timings(folder.parent)),
    "criteria": Reader(
        "c.json",
        write_json("c.json", dict.fromkeys(CRITERIA, 1)),
        lambda folder: read_criteria(folder / "c.json"),
        (UsageError,),
    ),
    "digests": Reader("inputs/digests.json", write_task_inputs, read_pins, (ValueError,)),
    "inputs": Reader(INPUTS, write_task_inputs, read_task_inputs, (UnreadableError,)),
    "data of a baseline": Reader(
        "digits.npz", write_digits, lambda folder: compute_baseline(AUTOENCODER, folder / "digits.npz"), (ValueError,)
    ),
    "measures": Reader("measures.json", write_measures, lambda folder: read_measures(folder, TrainMeasurements)),
    "arrays": Reader("outputs.npz", write_arrays, lambda folder: read_arrays(folder, "outputs.npz"), (ValueError,)),
    "weights": Reader("outputs.npz", write_arrays, run_models.load_weights, (UnreadableError,)),
    "reference": Reader("io.npz", write_reference, read_reference, (UsageError,)),
    "log": Reader("log.txt", lambda folder: (folder / "log.txt").write_text("command\nwarning: text\n"), read_log),
    "stage": Reader("stage", lambda folder: (folder / "stage").write_text("load"), read_stage),
    "receipt": Reader(
        "r.json",
        write_json("r.json", InstallReceipt(1.0, 10)),
        lambda folder: read_cached(folder / "r.json", InstallReceipt),
    ),
    "verdict": Reader(
        "v.json", write_json("v.json", VERDICT), lambda folder: read_cached(folder / "v.json", ParityResult)
    ),
    "clock": Reader("k.json", write_json("k.json", CLOCK), lambda folder: read_cached(folder / "k.json", ClockCheck)),
    "stored arrays": Reader("outputs.npz", write_arrays, lambda folder: read_cached_arrays(folder / "outputs.npz")),
    "manifest": Reader(
        "backend.toml",
        write_manifest,
        lambda folder: read_manifest(folder / "backend.toml", Manifest),
        (ManifestError,),
    ),
    "images of MNIST": Reader("train-images-idx3-ubyte.gz", write_data, read_data("mnist"), (data.DataError,)),
    "labels of MNIST": Reader("t10k-labels-idx1-ubyte.gz", write_data, read_data("mnist"), (data.DataError,)),
    "CIFAR-10": Reader(cifar10.FILE, write_data, read_data("cifar10"), (data.DataError,)),
}
