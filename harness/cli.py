"""The command line. stdout is data, stderr is messages.

Exit: 0 done; 1 a cell failed; 2 usage; 3 something needed is missing; 4 a gate tripped, such as parity;
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from harness.messages import say

DONE, CELL_FAILED, USAGE, MISSING, GATE_TRIPPED, INTERRUPTED = 0, 1, 2, 3, 4, 130
RESULTS = Path("results")


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positives(text: str) -> list[int]:
    return [positive(word) for word in words(text)]


def seconds(text: str) -> float:
    """`90`, `90s`, `10m`, `2h` -> seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above zero, such as 90s, 10m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[found[2]]


def share(text: str) -> float:
    """`5%` or `0.05` -> 0.05."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 5% or 0.05")
    return found


def interpreter(text: str) -> tuple[str, str]:
    backend, separator, path = text.partition("=")
    if not separator or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not BACKEND=PATH with the path of a Python interpreter")
    return backend, path


def add_selection(parser: argparse.ArgumentParser) -> None:
    """What to run, shared by `plan` and `run`. Lists take commas, or the option again."""
    many: dict[str, Any] = {"action": "extend", "type": words, "default": []}
    parser.add_argument("--task", **many, metavar="NAME", help="default: all")
    parser.add_argument("--backend", **many, metavar="NAME", help="default: all but reference")
    parser.add_argument(
        "--mode", **many, metavar="NAME", help="ways of executing, or all; default: each backend's first"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--precision", **many, metavar="NAME", help="float32, float64 (default: float32)")
    parser.add_argument(
        "--batch-size", action="extend", type=positives, default=[], metavar="N", help="default: the task's"
    )
    parser.add_argument("--preset", default="standard", help="quick, standard or original (default: standard)")
    parser.add_argument("--repeats", type=positive, default=1, metavar="N", help="processes a cell (default: 1)")
    parser.add_argument(
        "--budget",
        dest="budget_s",
        type=seconds,
        metavar="TIME",
        help="after these, repeat what the noise still holds together until so much time was spent: 90s, 10m, 2h",
    )
    parser.add_argument(
        "--seeds", type=positive, default=1, metavar="N", help="of weights and data, which repeats take in turns"
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="default: every processor that this process may use"
    )
    parser.add_argument(
        "--timeout", type=positive, default=900, metavar="S", help="seconds a job may take (default: 900)"
    )
    parser.add_argument("--no-parity", dest="parity", action="store_false", help="measure without proving first")
    parser.add_argument("--data", metavar="NAME", help="digits, mnist or cifar10, for the tasks that learn from images")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data's files lie, instead of fetching them")
    parser.add_argument(
        "--python",
        action="append",
        type=interpreter,
        default=[],
        metavar="BACKEND=PATH",
        help="an interpreter to use as it is",
    )


def add_runtimes(parser: argparse.ArgumentParser) -> None:
    """Where to load files and how to print what comes of it, shared by `portability` and `check`."""
    parser.add_argument("--runtime", action="extend", type=words, default=[], metavar="NAME", help="default: all")
    parser.add_argument("--timeout", type=positive, default=120, metavar="S", help="seconds a cell may take")
    parser.add_argument("--format", choices=("table", "json", "csv", "md"), default="table")


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The selection as plain data, as `run.json` keeps it."""
    affinity = sorted(os.sched_getaffinity(0))
    threads = arguments.threads or len(affinity)
    if threads > len(affinity):
        raise argparse.ArgumentTypeError(f"--threads {threads}: this process may use {len(affinity)} processors")
    kept = (
        "task",
        "backend",
        "mode",
        "device",
        "precision",
        "batch_size",
        "preset",
        "repeats",
        "budget_s",
        "seeds",
        "timeout",
        "data",
        "data_dir",
        "parity",
    )
    options = {name: getattr(arguments, name) for name in kept}
    return options | {"cpus": affinity[:threads], "python": dict(arguments.python)}


def plan(arguments: argparse.Namespace) -> int:
    from harness import estimate
    from harness.plan import make_plan

    made = make_plan(options_of(arguments))
    told = estimate.estimate(made, RESULTS)
    print(json.dumps(told, indent=1) if arguments.json else estimate.as_text(told))
    return DONE


def run(arguments: argparse.Namespace) -> int:
    from harness import page, records, report
    from harness import run as running
    from harness.plan import make_plan

    if arguments.resume:
        folder = Path(arguments.resume)
        told = records.read_run(folder)
        made = running.resumed(told)
        done = {record["job"] for record in records.read_with_warnings(folder)}
        say(f"{len(done & {job.name for job in made.jobs})} of {len(made.jobs)} jobs are done already")
    else:
        made = make_plan(options_of(arguments))
        folder, done = new_folder(arguments.out, arguments.preset), set()
        try:
            running.start(made, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
    say(f"{len(made.jobs)} jobs on {made.device} into {folder}")
    code = running.interruptible(made, folder, done)
    if code != running.INTERRUPTED:
        print(report.as_table(report.document(folder)), end="")
    say(f"report: {page.write(folder)}\nas table, json, csv or md: crossframe report {folder} --format json")
    return code


def parity(arguments: argparse.Namespace) -> int:
    from harness import verdicts
    from harness.plan import make_plan

    found = verdicts.examine(make_plan(options_of(arguments)), arguments.seed, arguments.effects)
    print(json.dumps(found, indent=1) + "\n" if arguments.json else verdicts.as_text(found), end="")
    states = {verdict["state"] for verdict in found}
    if "not_installed" in states:
        return MISSING
    return GATE_TRIPPED if states - {"ok", "unsupported"} else DONE


def infer(arguments: argparse.Namespace) -> int:
    from harness import inference
    from harness.plan import make_plan

    sizes = arguments.batch_size or [1, 8, 64, 512]
    found = inference.examine(make_plan(options_of(arguments) | {"batch_size": []}), sizes)
    print(json.dumps(found, indent=1) + "\n" if arguments.json else inference.as_text(found), end="")
    return CELL_FAILED if any(one["state"] not in ("ok", "unsupported") for one in found) else DONE


def conformance(arguments: argparse.Namespace) -> int:
    from harness import conformance as examiner
    from harness.plan import make_plan

    told = options_of(arguments) | {"backend": [arguments.name], "mode": arguments.mode or ["all"]}
    counts = {"passed": 0, "failed": 0, "unsupported": 0}
    for result in examiner.examine(make_plan(told)):
        counts[result.state] += 1
        print(f"{result.name} {result.state.upper()}" + (f": {result.reason}" if result.reason else ""), flush=True)
    if not counts["passed"]:
        counts["failed"] += 1  # nothing that passed is nothing that was shown
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return GATE_TRIPPED if counts["failed"] else DONE


def new_folder(asked: str | None, preset: str) -> Path:
    """The folder of a new run, empty. Usage where the one asked for holds something."""
    from harness.plan import Usage

    folder = Path(asked) if asked else RESULTS / f"{datetime.now():%Y%m%d-%H%M%S}-{preset}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Usage(f"{folder} is there and not empty; to go on with that run: crossframe run --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def report_run(arguments: argparse.Namespace) -> int:
    from harness import page, records, report

    folder = Path(arguments.run)
    if arguments.format == "parquet":
        from harness import samples

        sys.stdout.buffer.write(samples.parquet(records.read_with_warnings(folder)))
        return DONE
    told = report.document(folder)
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    if arguments.format == "html":
        print(page.write(folder))
    else:
        print(report.FORMATS[arguments.format](told), end="")
    return DONE


def decide(arguments: argparse.Namespace) -> int:
    from backends import discover
    from harness import criteria, decision_record

    weights = Path(arguments.weights) if arguments.weights else None
    profile = criteria.read_weights(weights) if weights else criteria.PROFILES[arguments.profile]
    facts = {name: backend.facts.get("facts", {}) for name, backend in discover().items()}
    told = decision_record.document(Path(arguments.run), facts, profile, arguments.require, date.today())
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(decision_record.FORMATS[arguments.format](told), end="")
    return DONE


def compare(arguments: argparse.Namespace) -> int:
    from harness import compare as comparing

    told = comparing.document(Path(arguments.a), Path(arguments.b), arguments.across_hosts)
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(comparing.FORMATS[arguments.format](told), end="")
    if arguments.fail_if_regress is None:
        return DONE
    regressed = comparing.regressions(told, arguments.fail_if_regress)
    for line in regressed:
        say(f"regressed: {line}")
    return GATE_TRIPPED if regressed else DONE


def history(arguments: argparse.Namespace) -> int:
    from harness import history as past

    told = past.document(Path(arguments.folder))
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(json.dumps(told, indent=1) + "\n" if arguments.json else past.as_text(told), end="")
    return DONE


def env(arguments: argparse.Namespace) -> int:
    from backends import Backend, discover
    from harness import environments
    from harness.host import resolve_device
    from harness.plan import chosen
    from harness.portability import runtimes

    found: dict[str, Backend] = {**discover(), **runtimes.discover()}
    names = chosen("backend or runtime", arguments.backend or list(found), list(found))
    if arguments.action == "list":
        rows = environments.listing({name: found[name] for name in names})
        for row in rows:
            size = f"{row['bytes'] / 1e6:8,.0f} MB" if row["bytes"] else " " * 11
            print(f"{row['backend']:<12} {row['device']:<5} {row['state']:<7} {size}  {row['folder']}")
        return DONE
    if arguments.action == "remove":
        for name in names:
            say(f"{name}: {environments.remove(found[name])} removed")
        return DONE
    kind = resolve_device(arguments.device).partition(":")[0]
    wanted = [found[name] for name in names if found[name].requirements(kind)]
    _, failed = environments.make_all(wanted, kind, {})
    return MISSING if failed else DONE


def selftest(arguments: argparse.Namespace) -> int:
    from backends import discover
    from harness import selftest as examiner
    from harness.host import resolve_device
    from harness.plan import chosen

    known = discover()
    candidates = [name for name, backend in known.items() if "install" in backend.facts]
    names = chosen("backend", arguments.backend or candidates, list(known))
    (candidate,) = chosen("backend", [arguments.candidate], list(known))
    cpus = sorted(os.sched_getaffinity(0))
    device = resolve_device(arguments.device)
    told = examiner.examine(names, candidate, arguments.pairs, arguments.tries, cpus, device)
    print(json.dumps(told, indent=1) + "\n" if arguments.json else examiner.as_text(told), end="")
    return GATE_TRIPPED if examiner.failed(told) else DONE


def trained(arguments: argparse.Namespace) -> Path:
    """The run to look at: the one named, or a quick one made now of what was asked for."""
    from harness import run as running
    from harness.plan import make_plan

    if arguments.run:
        return Path(arguments.run)
    tasks = [f"--task={name}" for name in arguments.task]
    backends = [f"--backend={name}" for name in arguments.backend if name != "spec"]
    made = make_plan(options_of(parser().parse_args(["run", "--preset", "quick", "--no-parity", *tasks, *backends])))
    folder = new_folder(None, "quick")
    running.start(made, folder)
    if running.interruptible(made, folder, set()) == running.INTERRUPTED:
        raise SystemExit(running.INTERRUPTED)
    return folder


def portability(arguments: argparse.Namespace) -> int:
    from backends import discover as discover_backends
    from harness import records
    from harness.plan import chosen
    from harness.portability import command, runtimes, show, spec_onnx
    from tasks import discover as discover_tasks

    exporting = [name for name, backend in discover_backends().items() if "install" in backend.facts]
    asked_or_all = (
        ("task", arguments.task, list(discover_tasks())),
        ("exporter", arguments.backend, [*exporting, spec_onnx.NAME]),
        ("runtime", arguments.runtime, list(runtimes.discover())),
    )
    tasks, exporters, names = (chosen(kind, asked or there, there) for kind, asked, there in asked_or_all)
    folder = trained(arguments)
    records.read_run(folder)
    depth = arguments.opset, arguments.routes, arguments.ladder, arguments.reduced
    cpus = sorted(os.sched_getaffinity(0))
    asked = command.Asked(tasks, exporters, names, *depth, arguments.timeout, cpus)
    document = command.examine(folder, asked)
    print(show.FORMATS[arguments.format](document), end="")
    say(f"left in {folder / 'portability.json'}, cells in portability.jsonl")
    return command.exit_code(document["cells"])


def check(arguments: argparse.Namespace) -> int:
    from harness.plan import Usage, chosen
    from harness.portability import check as examiner
    from harness.portability import command, files, runtimes, show

    path = Path(arguments.model)
    if not path.is_file():
        raise Usage(f"{path} is not a file")
    names = chosen("runtime", arguments.runtime or list(runtimes.discover()), list(runtimes.discover()))
    folder = new_folder(None, f"check-{path.stem}")
    archive = Path(arguments.reference) if arguments.reference else None
    blames: list[Any] = []
    try:
        cpus = sorted(os.sched_getaffinity(0))
        document = examiner.examine(path, archive, folder, names, cpus, arguments.timeout)
        blames = [cell["blame"] for cell in document["cells"] if cell["blame"]]
    except files.Unreadable as error:
        say(f"crossframe: {path}: {error}")
        return command.CELL_FAILED
    finally:
        if not blames:  # a reproducer is all that is worth keeping
            shutil.rmtree(folder)
    print(show.FORMATS[arguments.format](document), end="")
    return command.exit_code(document["cells"])


def doctor(arguments: argparse.Namespace) -> int:
    from harness import doctor as examiner

    told = examiner.examine()
    print(json.dumps(told, indent=1) if arguments.json else examiner.as_text(told), end="")
    return DONE


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="crossframe",
        description="The same networks in every framework: proven equal, then measured.",
        epilog="exit: 0 done, 1 a cell failed, 2 usage, 3 something is missing, 4 a gate tripped, 130 interrupted",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.set_defaults(do=do)
        return made

    made = command("run", run, "train, measure and export; ends in a table and a page")
    add_selection(made)
    made.add_argument("--out", metavar="DIR", help="a new folder for the run (default: one under results/)")
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was interrupted")
    made = command("parity", parity, "prove that the backends compute what the oracle computes")
    add_selection(made)
    made.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the weights and the drawn batches (default: 0)"
    )
    made.add_argument(
        "--effects", action="store_true", help="train the oracle to the end too, to see what each dialect changes"
    )
    made.add_argument("--json", action="store_true")
    made = command("infer", infer, "measure inference alone, beside onnxruntime on the exported file")
    add_selection(made)
    made.add_argument("--json", action="store_true")
    made = command(
        "conformance", conformance, "ask one backend, of ours or a stranger's, everything that we ask of ours"
    )
    made.add_argument("name", metavar="NAME")
    add_selection(made)
    made.set_defaults(preset="quick", parity=False)
    made = command("plan", plan, "show what `run` would do, and about how long it takes; runs nothing")
    add_selection(made)
    made.add_argument("--json", action="store_true")
    made = command("report", report_run, "print a run again, from its records")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    made.add_argument("--format", choices=("table", "json", "csv", "md", "html", "parquet"), default="table")
    made = command("decide", decide, "which backend to choose, from a run: a decision record, or that there is none")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    weighing = made.add_mutually_exclusive_group()
    weighing.add_argument(
        "--profile",
        choices=("research", "production", "edge", "teaching"),
        default="research",
        help="weights and limits for a purpose (default: research)",
    )
    weighing.add_argument("--weights", metavar="FILE", help="JSON: criterion -> weight, for every criterion")
    made.add_argument(
        "--require",
        action="extend",
        type=words,
        default=[],
        metavar="LIMIT",
        help="exports, device=KIND, a fact, or FACT=VALUE|VALUE: who does not meet it is out",
    )
    made.add_argument("--format", choices=("md", "json"), default="md")
    made = command("compare", compare, "what became faster, slower, larger or less accurate between two runs")
    made.add_argument("a", metavar="RUN_A", help="the folder of the run before")
    made.add_argument("b", metavar="RUN_B", help="the folder of the run after")
    made.add_argument(
        "--fail-if-regress", type=share, metavar="5%", help="exit 4 if anything is worse by more, beyond the noise"
    )
    made.add_argument("--across-hosts", action="store_true", help="compare runs of different machines all the same")
    made.add_argument("--format", choices=("table", "json", "md"), default="table")
    made = command("history", history, "how figures went over the runs of a folder, by host, with what changed between")
    made.add_argument("folder", nargs="?", default=str(RESULTS), metavar="FOLDER", help="default: results")
    made.add_argument("--json", action="store_true")
    made = command("selftest", selftest, "measure costs that are known, to see how far this machine is to be trusted")
    made.add_argument(
        "--backend", action="extend", type=words, default=[], metavar="NAME", help="whose clock to test (default: all)"
    )
    made.add_argument("--candidate", default="reference", metavar="NAME", help="what the pairs are of (reference)")
    made.add_argument("--pairs", type=int, default=5, metavar="N", help="equal pairs, which must tie (default: 5)")
    made.add_argument("--tries", type=int, default=5, metavar="N", help="pairs with one slowed by 5 %% (default: 5)")
    made.add_argument("--device", default="auto")
    made.add_argument("--json", action="store_true")
    made = command("env", env, "make, list or remove the environments of backends and runtimes")
    made.add_argument("action", choices=("sync", "list", "remove"))
    made.add_argument("backend", nargs="*", metavar="BACKEND", help="default: all")
    made.add_argument("--device", default="auto", help="auto, cpu or cuda: which build to make (default: auto)")
    made = command("portability", portability, "where the exported files really run, how right and how fast")
    made.add_argument("run", nargs="?", metavar="RUN", help="the folder of a run (default: a quick one, made now)")
    made.add_argument("--task", action="extend", type=words, default=[], metavar="NAME", help="default: all")
    made.add_argument(
        "--backend", action="extend", type=words, default=[], metavar="NAME", help="exporters, or spec; default: all"
    )
    add_runtimes(made)
    made.add_argument(
        "--opset", action="extend", type=positives, default=[], metavar="N", help="export anew at these opsets"
    )
    made.add_argument("--routes", action="store_true", help="by the further routes of exporters that have some, too")
    made.add_argument(
        "--ladder", action="store_true", help="the lowest and highest opset; and the frameworks' own speed"
    )
    made.add_argument("--reduced", action="store_true", help="in float16 and in int8 too")
    made = command("check", check, "where one ONNX file of your own runs, and how right")
    made.add_argument("model", metavar="MODEL.onnx")
    made.add_argument("--reference", metavar="IO.npz", help="inputs and outputs by their names (default: drawn inputs)")
    add_runtimes(made)
    made = command("doctor", doctor, "what this machine has and lacks")
    made.add_argument("--json", action="store_true")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = parser().parse_args(arguments)
    from harness.host import DeviceMissing
    from harness.plan import Usage
    from harness.records import NoRun
    from harness.samples import ParquetMissing
    from tasks.data import DataError

    # Ended from outside is ended like Ctrl-C: what was started goes too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return parsed.do(parsed)
    except (Usage, NoRun, argparse.ArgumentTypeError) as error:
        say(f"crossframe: {error}")
        return USAGE
    except (DeviceMissing, DataError, ParquetMissing) as error:
        say(f"crossframe: {error}")
        return MISSING
    except KeyboardInterrupt:  # `run`, which has something to keep, does not let it come here
        say("interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
