"""The commands that run ONNX files in runtimes: portability, check."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossframe.harness.cli.interpreters import check_interpreters
from crossframe.harness.cli.options import RuntimeArguments, add_format, add_list, add_runtime_options, pack
from crossframe.harness.cli.parameters import NAMES, PATH, POSITIVES
from crossframe.harness.console import say
from crossframe.harness.errors import CELL_FAILED, INTERRUPTED, UsageError
from crossframe.harness.files import lock_folder, remove_folder
from crossframe.harness.plan.options import create_run_folder, usable_cpus
from crossframe.harness.records.model import RunOptions

if TYPE_CHECKING:
    from crossframe.harness.portability.runtime_matrix import Resources


@dataclass(frozen=True)
class PortabilityArguments:
    """The files to run; empty lists stand for everything."""

    run: Path | None
    tasks: list[str]
    exporters: list[str]
    opsets: list[int]
    routes: bool
    opset_range: bool
    low_precision: bool


@click.command()
@click.argument("run", type=PATH, required=False, metavar="[RUN]")
@add_list("--task", "tasks", NAMES, "tasks (default: all)")
@add_list("--backend", "exporters", NAMES, "backends that exported, or spec (default: all)")
@add_runtime_options
@add_list("--opset", "opsets", POSITIVES, "export again at these opsets", metavar="N,...")
@click.option("--routes", is_flag=True, help="also export by the further routes of exporters that have several")
@click.option(
    "--opset-range",
    is_flag=True,
    help="find the lowest and highest opset that works; also time the inference of the frameworks",
)
@click.option("--low-precision", is_flag=True, help="also convert the files to float16 and int8")
@add_format("table", "json", "csv", "md")
@pack("arguments", PortabilityArguments)
def portability(arguments: PortabilityArguments, runtime_arguments: RuntimeArguments, output_format: str) -> int:
    """Run the exported files of the run in the folder RUN in every ONNX runtime (default: of a new quick run)."""
    from crossframe.backends import discover as discover_backends
    from crossframe.harness.plan.plan import select_names
    from crossframe.harness.portability import formats, session, spec_onnx
    from crossframe.harness.records import store
    from crossframe.tasks import CORE
    from crossframe.tasks import discover as discover_tasks

    available_tasks = list(store.read_run(arguments.run).specs if arguments.run else discover_tasks())
    backends = [name for name, backend in discover_backends().items() if backend.has_builds]
    available_exporters = [*backends, spec_onnx.NAME]
    default_tasks = available_tasks if arguments.run else list(CORE)
    tasks = select_names("task", arguments.tasks or default_tasks, available_tasks)
    exporters = select_names("exporter", arguments.exporters or available_exporters, available_exporters)
    runtimes, resources = select_runtimes(runtime_arguments)
    folder = arguments.run or make_quick_run(arguments, runtime_arguments.device)
    request = session.PortabilityOptions(
        tasks=tasks,
        exporters=exporters,
        runtimes=runtimes,
        opsets=arguments.opsets,
        routes=arguments.routes,
        opset_range=arguments.opset_range,
        low_precision=arguments.low_precision,
        resources=resources,
    )
    with lock_folder(folder):
        result = session.run_portability(folder, request)
    print(formats.FORMATS[output_format](result), end="")
    say(f"stored in {folder / 'portability.json'}, results line by line in portability.jsonl")
    return session.select_exit_code(result.results)


def make_quick_run(arguments: PortabilityArguments, device: str) -> Path:
    """Train the selected tasks and backends with the preset quick; return the folder of the run."""
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.portability import spec_onnx
    from crossframe.harness.run.folder import start_run
    from crossframe.harness.run.run import run_to_exit_code

    backends = [name for name in arguments.exporters if name != spec_onnx.NAME]
    options = RunOptions(
        task=arguments.tasks,
        backend=backends,
        device=device,
        preset="quick",
        cpus=usable_cpus(None),
        parity=False,
    )
    plan = make_plan(options)
    folder = create_run_folder(None, options.preset)
    with lock_folder(folder):
        start_run(plan, folder)
        if run_to_exit_code(plan, folder, set()) == INTERRUPTED:
            raise click.exceptions.Exit(INTERRUPTED)
    return folder


def select_runtimes(arguments: RuntimeArguments) -> tuple[list[str], Resources]:
    """Return the names of the runtimes to use, and what each of their processes may take."""
    from crossframe.backends import discover as discover_backends
    from crossframe.harness import runtimes
    from crossframe.harness.machine.gpus import resolve_device
    from crossframe.harness.plan.plan import select_names
    from crossframe.harness.portability.runtime_matrix import Resources

    device = resolve_device(arguments.device)
    available = list(runtimes.find_runtimes(device))
    select_names("backend or runtime", arguments.interpreters, [*discover_backends(), *runtimes.discover()])
    named = [*arguments.runtimes, *(name for name in arguments.interpreters if name in runtimes.discover())]
    for name in select_names("runtime", named, list(runtimes.discover())):
        if name not in available:
            raise UsageError(f"{name} runs on a GPU only; use --device cuda")
    names = select_names("runtime", arguments.runtimes or available, available)
    check_interpreters(arguments.interpreters)
    interpreters = {name: Path(python) for name, python in arguments.interpreters.items()}
    return names, Resources(arguments.timeout_s, sorted(os.sched_getaffinity(0)), device, interpreters)


@click.command()
@click.argument("model", type=PATH, metavar="MODEL.onnx")
@click.option(
    "--reference",
    type=PATH,
    metavar="IO.npz",
    help="inputs and expected outputs by their names (default: drawn inputs)",
)
@add_runtime_options
@add_format("table", "json", "csv", "md")
def check(model: Path, reference: Path | None, runtime_arguments: RuntimeArguments, output_format: str) -> int:
    """Run the ONNX file MODEL.onnx in every runtime, and compare its outputs."""
    from crossframe.harness.portability import formats, run_models, session, single_file

    if not model.is_file():
        raise UsageError(f"{model} is not a file")
    names, resources = select_runtimes(runtime_arguments)
    name = re.sub(r"[^\w.-]+", "-", model.stem)[:50]
    folder = create_run_folder(None, f"check-{name}")
    keep = False  # the folder is worth keeping only if it holds a reproducer of a fault
    try:
        result = single_file.check_file(model, reference, folder, names, resources)
        keep = any(entry.fault for entry in result.results)
    except run_models.UnreadableError as error:
        say(f"crossframe: {model}: {error}")
        return CELL_FAILED
    finally:
        if not keep:
            remove_folder(folder)
    print(formats.FORMATS[output_format](result), end="")
    return session.select_exit_code(result.results)
