"""Exported files in real runtimes; and every way of spoiling a file, caught and named."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from crossframe.harness import runtimes
from crossframe.harness.machine import gpus
from crossframe.harness.machine.environments import Environment
from crossframe.harness.portability import (
    distances,
    formats,
    inspect_model,
    run_models,
    session,
    spec_onnx,
    surgery,
    variants,
    verdict,
)
from crossframe.harness.portability.matrix import Bench, Resources
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.portability.opset_range import ladder
from crossframe.harness.portability.test_vectors import HELD_OUT, of_task
from crossframe.harness.portability.variants import Made
from crossframe.harness.runtimes import Runtime
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import LSTM, SGD, Conv2D, Dense, Flatten, LastStep, MaxPool2D, ReLU, Task, initial_weights
from tests.conftest import THIRD_PARTY, Command
from tests.support.corruptions import FILES, MODELS, spoil

FAULTY = THIRD_PARTY / "faulty_runtime"
RUNTIMES = list(runtimes.on("cpu"))
SETTINGS = ("softmax_cross_entropy", SGD(1.0), 1, 0.0)
SMALL = {
    "recurrent": Task("recurrent", "", (5, 4), (LSTM(6), LSTM(3), LastStep(), Dense(3)), *SETTINGS),
    "images": Task("images", "", (3, 8, 8), (Conv2D(4, 3, 1), ReLU(), MaxPool2D(2), Flatten(), Dense(3)), *SETTINGS),
}


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    where = Resources(120, sorted(os.sched_getaffinity(0)))
    with session.open_bench(tmp_path_factory.mktemp("bench"), RUNTIMES, where) as made:
        yield made


def weights_of(task: Task) -> dict[str, np.ndarray]:
    """Weights with no zeros in them, so that a bias that is lost makes a difference."""
    generator = np.random.default_rng(1)
    drawn = initial_weights(task, 0)
    return {name: (w + generator.normal(0, 0.1, w.shape)).astype(np.float32) for name, w in drawn.items()}


def subject_of(bench: Bench, task: Task, spoilt: str | None = None, opset: int = spec_onnx.OPSET) -> Subject:
    weights, generator = weights_of(task), np.random.default_rng(2)
    path = bench.folder / "tests" / f"{task.name}-{spoilt}-{opset}" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(spec_onnx.write(task, weights, opset), path)
    if spoilt:
        spoil(path, spoilt)
    x = generator.normal(size=(100, *task.input_shape)).astype(np.float32)
    reference = of_task(task, weights, x)
    feeds = reference.save(bench.folder / "tests" / f"{task.name}.npz")
    targets = generator.integers(0, 3, 100)
    subject = Subject("spec", task.name, path, feeds, reference, task, targets, variant=spoilt or "as exported")
    return run_models.examined(subject, bench.folder)


def test_there_are_five_runtimes_and_each_passes_its_control(bench: Bench) -> None:
    assert len(RUNTIMES) == 5
    assert bench.failed == {}


@pytest.mark.parametrize("name", SMALL)
def test_honest_files_are_right_everywhere(bench: Bench, name: str) -> None:
    subject = subject_of(bench, SMALL[name])
    assert subject.told["problem"] is None
    found = {record["runtime"]: record for record in bench.matrix([subject], RUNTIMES)}
    assert set(found) == set(RUNTIMES)
    for runtime, record in found.items():
        # tract wants to know the batch before it compiles an LSTM, and ends its process otherwise.
        expected = "degraded" if (name, runtime) == ("recurrent", "tract") else "pass"
        assert record["state"] == expected, record["reason"]
        assert record["checks"]["numbers"]["scaled"] < 1e-5
        assert record["checks"]["decisions"]["flips"] == 0
        assert record["metrics"]["batch_1_p50_s"] > 0 and record["metrics"]["host_peak_bytes"] > 0
        assert record["versions"] and record["facts"]["engine"]


@pytest.mark.parametrize("spoilt", MODELS)
def test_a_spoilt_model_is_caught_and_named(bench: Bench, spoilt: str) -> None:
    subject = subject_of(bench, SMALL["recurrent"], spoilt)
    records = session.cells(bench, [Made(subject, None)], ["onnxruntime", "reference_evaluator"])
    said = " ".join(str((record["state"], record["reason"], record["blame"])) for record in records)
    assert not any(record["state"] == "pass" for record in records), said
    assert MODELS[spoilt][1] in said + str(subject.told["problem"]) + str(subject.told["external"]), said
    wrong = [record for record in records if record["state"] == "wrong"]
    for record in wrong:
        small = onnx.load(record["blame"]["reproducer"])
        assert len(small.graph.node) == 1


@pytest.mark.parametrize("spoilt", FILES)
def test_a_file_that_is_no_model_is_named_at_loading(bench: Bench, spoilt: str) -> None:
    with pytest.raises(run_models.Unreadable, match="load"):
        subject_of(bench, SMALL["recurrent"], spoilt)


# Fault of a runtime -> (state, stage, a word of the reason).
FAULTS = {
    "crash": ("crash", "compile", "SIGSEGV"),
    "hang": ("timeout", "run", "4 s"),
    "greedy": ("crash", "run", "memory"),
    "refuse": ("refused", "run", "no such operator"),
    "wrong": ("wrong", "compare", "differ from the oracle's"),
    "mixing": ("wrong", "compare", "differ"),
    "broken": ("not_installed", "import", "a file of one node"),
    "costly": ("degraded", "compare", "left to the CPU: Relu"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_runtime_gets_its_state_and_the_file_no_blame(bench: Bench, tmp_path: Path, fault: str) -> None:
    facts = {"packages": ["onnx"], "environment": {"FAULT": fault}, "install": {"cpu": {}}}
    known = {**bench.runtimes, "faulty": Runtime("faulty", "faulty_runtime", FAULTY, facts)}
    ready = {**bench.ready, "faulty": Environment(Path(sys.executable))}
    with Bench(tmp_path, known, ready, {}, Resources(4, sorted(os.sched_getaffinity(0)))) as faulty:
        if fault == "broken":
            faulty.control()
        (record,) = session.cells(faulty, [Made(subject_of(bench, SMALL["images"]), None)], ["faulty"])
    assert (record["state"], record["stage"]) == FAULTS[fault][:2], record["reason"]
    assert FAULTS[fault][2] in record["reason"]
    if fault == "wrong":
        assert record["blame"]["operator"] == "Relu" and "faulty parts there" in record["blame"]["why"]


def test_a_runtime_for_cards_alone_is_told_which_and_not_held_to_the_address_space(
    bench: Bench, tmp_path: Path
) -> None:
    facts = {"packages": ["onnx"], "environment": {"FAULT": "told"}, "install": {"cuda": {}}}
    known = {**bench.runtimes, "faulty": Runtime("faulty", "faulty_runtime", FAULTY, facts)}
    ready = {**bench.ready, "faulty": Environment(Path(sys.executable))}
    where = Resources(60, sorted(os.sched_getaffinity(0)), "cuda:3")
    with Bench(tmp_path, known, ready, {}, where) as two:
        card, cpu = session.cells(two, [Made(subject_of(bench, SMALL["images"]), None)], ["faulty", "onnxruntime"])
    assert (card["state"], card["facts"]) == ("pass", {"engine": "faulty", "device": "cuda:3", "limited": "False"})
    assert (cpu["state"], cpu["facts"]) == ("pass", {"engine": "CPUExecutionProvider"})
    document = {"cells": [card, cpu], "files": [], "ladder": [], "at_a_time": 2, "device": "cuda:3"}
    assert formats.notes(document)[-1] == "those of faulty are of cuda:3, copies to and from it included"


@pytest.mark.skipif(bool(gpus.gpus()), reason="this machine has a GPU")
def test_onnxruntime_going_on_without_its_card_is_caught(bench: Bench, tmp_path: Path) -> None:
    """The real package, which takes the CPU in silence where CUDA does not come up."""
    ready = {"onnxruntime_cuda": bench.ready["onnxruntime"]}
    where = Resources(60, [min(os.sched_getaffinity(0))], "cuda:0")
    with Bench(tmp_path, runtimes.on("cuda:0"), ready, {}, where) as fallen:
        fallen.control()
        (record,) = fallen.matrix([subject_of(bench, SMALL["images"])], ["onnxruntime_cuda"])
    assert record["state"] == "not_installed"
    assert "no operator of the file is on cuda:0" in record["reason"]


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")  # whose absence is not looked at
@pytest.mark.parametrize(
    "left, cost",
    [
        (["Shape", "Gather"], None),  # on purpose
        (["Shape", "LSTM", "Cos"], "left to the CPU: Cos, LSTM"),
    ],
)
def test_operators_that_the_card_lacks_are_a_cost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, left: list[str], cost: str | None
) -> None:
    from crossframe.harness.runtimes import onnxruntime_cuda as adapter

    def part(provider: str, *operators: str) -> SimpleNamespace:
        return SimpleNamespace(ep_name=provider, get_nodes=lambda: [SimpleNamespace(op_type=o) for o in operators])

    parts = [part("CUDAExecutionProvider", "Gemm"), part("CPUExecutionProvider", *left)]
    monkeypatch.setattr(adapter.Session, "assigned", lambda self: parts)
    session = adapter.Session(str(subject_of(bench, SMALL["images"]).path), 1, "cuda:0")
    assert session.facts == {"engine": "CUDAExecutionProvider", "device": "cuda:0"} | ({"cost": cost} if cost else {})


def test_a_missing_environment_is_no_skip(bench: Bench, tmp_path: Path) -> None:
    lacking = {"opencv": "its environment could not be made: no such package"}
    with Bench(tmp_path, bench.runtimes, {}, lacking, Resources(60, [min(os.sched_getaffinity(0))])) as empty:
        (record,) = empty.matrix([subject_of(bench, SMALL["images"])], ["opencv"])
    assert (record["state"], record["stage"]) == ("not_installed", "import")
    assert session.exit_code([record]) == 3


def test_the_neutral_writer_keeps_to_the_opset_that_it_is_given() -> None:
    for presets in discover_tasks().values():
        task = presets["quick"]
        for opset in (7, 12, 13, 21):
            model = spec_onnx.write(task, initial_weights(task, 0), opset)
            onnx.checker.check_model(model, full_check=True)
            assert model.opset_import[0].version == opset


def test_a_ladder_ends_where_a_runtime_ends(bench: Bench) -> None:
    task = SMALL["images"]
    subject = subject_of(bench, task)
    job = bench.folder / "job"
    job.mkdir(exist_ok=True)
    np.savez(job / "outputs.npz", **{f"weights/{name}": array for name, array in weights_of(task).items()})
    newest = onnx.defs.onnx_opset_version()
    made = {opset: variants.by_spec(bench, subject, job, opset, f"opset {opset}") for opset in (7, 17, newest)}
    made[18] = Made(replace(subject, variant="opset 18"), "not written")
    rungs = ladder(bench, made, ["onnxruntime", "reference_evaluator"])
    assert rungs["written"] == [7, 17, newest] and rungs["not_written"] == {"18": "not written"}
    assert rungs["runtimes"]["reference_evaluator"] == {"lowest": 7, "highest": newest, "refused": {}}
    ort = rungs["runtimes"]["onnxruntime"]
    assert ort["lowest"] == 7 and ort["highest"] in (17, newest) and len(ort["refused"]) == (ort["highest"] == 17)


def test_fewer_bits_are_judged_by_the_measure(bench: Bench) -> None:
    subject = subject_of(bench, SMALL["recurrent"])
    for kind in ("float16", "int8"):
        made = variants.reduced(bench, subject, kind)
        assert made.reason is None
        record = bench.cell(made.subject, "onnxruntime")
        assert record["state"] in ("pass", "degraded"), record["reason"]
        assert record["checks"]["numbers"]["scaled"] > verdict.TOLERANCE  # or the bits were not fewer
        assert (abs(record["checks"]["change"]) > verdict.METRIC_TOLERANCE) == ("accuracy" in str(record["reason"]))


HONEST = {
    "numbers": {"scaled": 1e-6, "own_errors": 2.0},
    "metric": "accuracy",
    "change": 0.0005,
    "parts": 1e-7,
    "decisions": {"labels": 9, "ties": 1, "flips": 0},
    "inputs": {"zeros": 0.0, "large": 1e-6, "nan": "kept"},
}
# What a check finds -> a word of what is said.
WRONG = {
    "differ from the oracle's": {"numbers": {"scaled": 2e-4}},
    "accuracy changes": {"change": -0.0015},
    "labels differ": {"decisions": {"labels": 9, "ties": 1, "flips": 1}},
    "in parts": {"parts": 2e-4},
    "NaN": {"inputs": {"nan": "spread"}},
}
COSTLY = {
    "12 times the framework's own": {"numbers": {"scaled": 1e-6, "own_errors": 12.0}},
    "large inputs": {"inputs": {"large": 0.01}},
}


def test_every_check_can_turn_a_verdict() -> None:
    whole = {"sets": {"batch_1": None, "batch_2": None}}
    verdict.judge(HONEST)
    assert not verdict.shortcomings(HONEST, whole) and not verdict.changed(HONEST)
    for words, found in WRONG.items():
        with pytest.raises(verdict.Wrong, match=words):
            verdict.judge(HONEST | found)
    for words, found in COSTLY.items():
        (cost,) = verdict.shortcomings(HONEST | found, whole)
        assert words in cost
    (cost,) = verdict.shortcomings(HONEST, {"sets": {"batch_1": None, "batch_2": "refused"}})
    assert cost == "runs at batch 1 alone: refused"
    assert verdict.changed(HONEST | WRONG["accuracy changes"])


def test_numbers_know_distance_ties_and_nan() -> None:
    want = np.array([[1.0, 2.0], [3.0, 3.0], [0.0, 5.0]])
    near = want.astype(np.float32)
    near[1] = np.nextafter(np.float32(3), np.float32(4)), 3
    found = distances.distances(near, want)
    assert found["max_ulp"] == pytest.approx(1) and found["cosine"] == pytest.approx(1) and found["onnx_suite"]
    assert distances.distances(near + 1, want)["max_abs"] == pytest.approx(1)
    with pytest.raises(ValueError, match="shape"):
        distances.distances(near[:2], want)
    with pytest.raises(ValueError, match="not finite"):
        distances.distances(near * np.nan, want)
    tied = distances.decisions("softmax_cross_entropy", near, want[:, ::-1], 1e-6)
    assert tied == {"labels": 3, "ties": 1, "flips": 2}
    clean = np.ones((3, 2))
    for row, value, expected in ((1, np.nan, "kept"), (1, 0.0, "swallowed"), (0, np.nan, "spread")):
        got = clean.copy()
        got[row] = value
        assert distances.nan_behaviour(got, clean, 1) == expected


def test_held_out_samples_are_each_in_one_set(bench: Bench) -> None:
    rows = subject_of(bench, SMALL["images"]).reference.rows
    assert sorted(np.concatenate([rows[name] for name in HELD_OUT if name in rows])) == list(range(100))


def test_a_graph_is_cut_with_what_its_subgraphs_take(bench: Bench) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["outer", "outer"], ["twice"])],
        "body", [], [helper.make_tensor_value_info("twice", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Neg", ["x"], ["outer"]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=body, else_branch=body),
        helper.make_node("Abs", ["chosen"], ["y"]),
    ]
    entries = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    ends = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    model = helper.make_model(helper.make_graph(nodes, "g", entries, ends, [yes]))
    assert [node.op_type for node in surgery.ending_in(model, ["chosen"]).graph.node] == ["Neg", "If"]


@pytest.fixture(scope="module")
def small_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portable") / "run"
    words = ("--no-parity", "--task", "circle", "--backend", "torch", "--preset", "quick", "--out", folder)
    done = crossframe("run", *words)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_command_prints_and_leaves_the_matrix(small_run: Path, crossframe: Command) -> None:
    words = ("--runtime", "onnxruntime,tract", "--reduced", "--routes", "--format", "json")
    done = crossframe("portability", small_run, *words)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    cells = {(cell["exporter"], cell["variant"], cell["runtime"]): cell for cell in document["cells"]}
    assert len(cells) == len(document["cells"]) == (2 * 3 + 1) * 2
    for exporter in ("torch", "spec"):
        for runtime in ("onnxruntime", "tract"):
            cell = cells[exporter, "as exported", runtime]
            assert cell["state"] == "pass", cell["reason"]
            assert cell["checks"]["numbers"]["own_errors"] <= 10
    assert cells["torch", "route torchscript", "onnxruntime"]["state"] == "pass"
    (torch,) = [file for file in document["files"] if file["exporter"] == "torch"]
    assert torch["own_inference"]["batch_64_p50_s"] > 0 and torch["provenance"]["opset"]["ai.onnx"] == 18
    lines = (small_run / "portability.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == document["cells"]
    report = json.loads(crossframe("report", small_run, "--format", "json").stdout)  # validated as it is printed
    assert report["portability"] == document["cells"]


def test_the_ladder_is_climbed_from_the_command_line(small_run: Path, crossframe: Command) -> None:
    words = ("--backend", "spec", "--runtime", "onnxruntime", "--ladder", "--format", "json")
    (rungs,) = json.loads(crossframe("portability", small_run, *words).stdout)["ladder"]
    assert rungs["written"] == [*range(7, onnx.defs.onnx_opset_version() + 1)]
    assert rungs["runtimes"]["onnxruntime"]["lowest"] == 7


def test_every_format_shows_every_cell(small_run: Path, crossframe: Command) -> None:
    words = ("portability", small_run, "--backend", "spec", "--runtime", "onnxruntime,reference_evaluator", "--opset")
    rows = list(csv.DictReader(io.StringIO(crossframe(*words, "13,17", "--format", "csv").stdout)))
    assert [(row["variant"], row["runtime"], row["state"]) for row in rows] == [
        (f"opset {opset}", runtime, "pass") for opset in (13, 17) for runtime in ("onnxruntime", "reference_evaluator")
    ]
    markdown = crossframe(*words, "13", "--format", "md").stdout
    assert "| circle | spec | opset 13 | pass | pass |" in markdown and "2 cells: 2 pass" in markdown
    table = crossframe(*words, "13").stdout
    assert table.count("pass") == 3 and "\x1b" not in table


@pytest.mark.parametrize(
    "words", [("--task", "nothing"), ("--runtime", "nothing"), ("--backend", "nothing"), ("gone",)]
)
def test_portability_names_what_does_not_exist(crossframe: Command, words: tuple[str, ...]) -> None:
    done = crossframe("portability", *words)
    assert done.returncode == 2 and words[-1] in done.stderr and not done.stdout


def test_notes_tell_blame_ladder_and_nan() -> None:
    cell = {
        "task": "t",
        "exporter": "e",
        "variant": "as exported",
        "runtime": "r",
        "state": "wrong",
        "stage": "compare",
    }
    cell |= {"reason": "off", "checks": {"inputs": {"nan": "swallowed"}}, "facts": {}}
    cell["blame"] = {"node": "lstm1", "why": "the file itself", "reproducer": "model.onnx"}
    rungs = {"task": "t", "exporter": "e", "written": [7, 8, 9, 12], "runtimes": {"r": {"lowest": 8, "highest": 12}}}
    rungs["runtimes"]["s"] = {"lowest": None, "highest": None}
    document = {"cells": [cell], "files": [], "ladder": [rungs], "at_a_time": 2}
    said = "\n".join(formats.notes(document))
    assert "1 cells: 1 wrong" in said and "t e as exported in r: wrong: off" in said
    assert "parts from the oracle at lstm1: the file itself; reproducer: model.onnx" in said
    assert "writes 7-9, 12; r 8 to 12, s none" in said
    assert "a sample of NaN comes out as a number in r: t e" in said


def one_node(folder: Path, operator: str = "Relu", shape: list | None = None, domain: str = "") -> Path:
    entry, end = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(helper.make_graph([node], "g", [entry], [end]), opset_imports=opsets, ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_check_compares_with_a_reference_or_with_the_evaluator(crossframe: Command, tmp_path: Path) -> None:
    path, x = one_node(tmp_path, shape=["n", 4]), np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    done = crossframe("check", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {cell["runtime"]: cell["state"] for cell in document["cells"]} == dict.fromkeys(RUNTIMES, "pass")
    assert document["files"][0]["oracle"] == "reference_evaluator"
    # Output -> the exit code.
    for name, output, code in (("right", np.maximum(x, 0), 0), ("wrong", np.maximum(x, 0) + 1, 4)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=output)
        words = ("--reference", tmp_path / f"{name}.npz", "--runtime", "onnxruntime")
        assert crossframe("check", path, *words).returncode == code


def test_check_asks_the_evaluator_whatever_runtime_is_named(crossframe: Command, tmp_path: Path) -> None:
    done = crossframe("check", one_node(tmp_path, shape=["n", 4]), "--runtime", "tract", "--format", "json")
    document = json.loads(done.stdout)
    assert document["files"][0]["oracle"] == "reference_evaluator"
    assert [(cell["runtime"], cell["state"]) for cell in document["cells"]] == [("tract", "pass")]


def test_what_was_compared_with_nothing_does_not_pass(bench: Bench) -> None:
    subject = subject_of(bench, SMALL["images"])
    (record,) = bench.matrix(
        [replace(subject, reference=replace(subject.reference, wanted={}), targets=None)], ["tract"]
    )
    assert record["state"] == "degraded" and "compared with nothing" in record["reason"]


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "inner/../../weights.bin", "link/passwd"])
def test_weights_may_not_leave_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    assert inspect_model.leaves(tmp_path, location)
    assert not inspect_model.leaves(tmp_path, "inner/weights.bin")


# What is wrong with the file -> (how it is made, the exit code, a word of what is said).
BAD = {
    "no file": (lambda folder: folder / "gone.onnx", 2, "not a file"),
    "not ONNX": (lambda folder: spoilt_copy(folder, "not a protobuf"), 1, "load: "),
    "cut short": (lambda folder: spoilt_copy(folder, "truncated"), 1, "load: "),
    "over 2 GB": (lambda folder: hole(folder), 1, "2 GiB"),
    "no rank": (lambda folder: one_node(folder), 1, "nothing of its rank"),
    "custom operator": (lambda folder: one_node(folder, "Fancy", ["n", 4], "my.own"), 1, "my.own"),
}


def spoilt_copy(folder: Path, name: str) -> Path:
    path = one_node(folder, shape=["n", 4])
    spoil(path, name)
    return path


def hole(folder: Path) -> Path:
    """A file that says it is larger than a protobuf can be, and takes no room."""
    with (folder / "huge.onnx").open("wb") as file:
        file.truncate(2**31)
    return folder / "huge.onnx"


@pytest.mark.parametrize("what", BAD)
def test_check_says_what_is_wrong_with_a_file(crossframe: Command, tmp_path: Path, what: str) -> None:
    make, code, word = BAD[what]
    done = crossframe("check", make(tmp_path), "--runtime", "onnxruntime")
    assert done.returncode == code, done.stderr
    assert word in done.stdout + done.stderr and "Traceback" not in done.stderr
