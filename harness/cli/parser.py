"""The command line. stdout is data, stderr is messages; how it ends is in `crossframe.harness.errors`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from crossframe.harness.cli import machine_commands, onnx_commands, result_commands, run_commands
from crossframe.harness.cli.arguments import interpreter, positive, positives, seconds, share, words
from crossframe.harness.console import say
from crossframe.harness.errors import INTERRUPTED, MISSING, USAGE, Missing, Usage
from crossframe.harness.plan.options import RESULTS, SELECTION


def add_selection(parser: argparse.ArgumentParser) -> None:
    """What to look at. Lists take commas, or the option again."""
    many: dict[str, Any] = {"action": "extend", "type": words}
    parser.add_argument("--task", **many, metavar="NAME", help="default: all")
    parser.add_argument(
        "--scale",
        action="extend",
        type=positives,
        metavar="N",
        help="each task at N times its widths and batch: 1,4,16",
    )
    parser.add_argument("--backend", **many, metavar="NAME", help="default: all but reference")
    parser.add_argument(
        "--mode", **many, metavar="NAME", help="ways of executing, or all; default: each backend's first"
    )
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--precision", **many, metavar="NAME", help="float32, float64, tf32, bfloat16, float16")
    parser.add_argument("--batch-size", action="extend", type=positives, metavar="N", help="default: the task's")
    parser.add_argument("--preset", help="quick, standard or original (default: standard)")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="default: every processor that this process may use"
    )
    parser.add_argument("--timeout", type=positive, metavar="S", help="seconds a job may take (default: 900)")
    parser.add_argument("--data", metavar="NAME", help="digits, mnist or cifar10, for the tasks that learn from images")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data's files lie, instead of fetching them")
    parser.add_argument(
        "--python",
        action="append",
        type=interpreter,
        metavar="NAME=PATH",
        help="an interpreter to use as it is for a backend, or in `infer` for onnxruntime",
    )
    parser.set_defaults(**SELECTION)


def add_repeats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=positive, default=1, metavar="N", help="processes a cell (default: 1)")


def add_rounds(parser: argparse.ArgumentParser) -> None:
    """How often to run it and what beside, shared by `run` and `plan`."""
    add_repeats(parser)
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
    parser.add_argument("--no-parity", dest="parity", action="store_false", help="measure without proving first")
    parser.add_argument(
        "--profile", action="store_true", help="ask each framework's own profiler too where a step's time goes"
    )


def add_runtimes(parser: argparse.ArgumentParser) -> None:
    """Where to load files and how to print what comes of it, shared by `portability` and `check`."""
    parser.add_argument("--runtime", action="extend", type=words, default=[], metavar="NAME", help="default: all")
    parser.add_argument("--timeout", type=positive, default=120, metavar="S", help="seconds a cell may take")
    parser.add_argument("--device", default="auto", help="cuda[:N]: on this card too, by the runtimes that can")
    parser.add_argument(
        "--python", action="append", type=interpreter, default=[], metavar="RUNTIME=PATH", help="to use as it is"
    )
    parser.add_argument("--format", choices=("table", "json", "csv", "md"), default="table")


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

    made = command("run", run_commands.run, "train, measure and export; ends in a table and a page")
    add_selection(made)
    add_rounds(made)
    made.add_argument("--out", metavar="DIR", help="a new folder for the run (default: one under results/)")
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was interrupted")
    made = command("parity", run_commands.parity, "prove that the backends compute what the oracle computes")
    add_selection(made)
    made.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the weights and the drawn batches (default: 0)"
    )
    made.add_argument(
        "--effects", action="store_true", help="train the oracle to the end too, to see what each dialect changes"
    )
    made.add_argument("--json", action="store_true")
    made = command(
        "infer", run_commands.infer, "measure inference alone, beside onnxruntime on the exported file; ranks nobody"
    )
    add_selection(made)
    add_repeats(made)
    made.add_argument("--json", action="store_true")
    made = command(
        "conformance",
        run_commands.conformance,
        "ask one backend, of ours or a stranger's, everything that we ask of ours",
    )
    made.add_argument("name", metavar="NAME")
    add_selection(made)
    made.set_defaults(preset="quick", parity=False)
    made = command("plan", run_commands.plan, "show what `run` would do, and about how long it takes; runs nothing")
    add_selection(made)
    add_rounds(made)
    made.add_argument("--json", action="store_true")
    made = command("report", result_commands.report_run, "print a run again, from its records")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    made.add_argument("--format", choices=("table", "json", "csv", "md", "html", "parquet"), default="table")
    made = command(
        "decide",
        result_commands.decide,
        "which backend to choose, from a run: a decision record, or that there is none",
    )
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
    made = command(
        "compare", result_commands.compare, "what became faster, slower, larger or less accurate between two runs"
    )
    made.add_argument("a", metavar="RUN_A", help="the folder of the run before")
    made.add_argument("b", metavar="RUN_B", help="the folder of the run after")
    made.add_argument(
        "--fail-if-regress", type=share, metavar="5%", help="exit 4 if anything is worse by more, beyond the noise"
    )
    made.add_argument("--across-hosts", action="store_true", help="compare runs of different machines all the same")
    made.add_argument("--format", choices=("table", "json", "md"), default="table")
    made = command(
        "history",
        result_commands.history,
        "how figures went over the runs of a folder, by host, with what changed between",
    )
    made.add_argument("folder", nargs="?", default=str(RESULTS), metavar="FOLDER", help="default: results")
    made.add_argument("--json", action="store_true")
    made = command(
        "selftest",
        machine_commands.selftest,
        "measure costs that are known, to see how far this machine is to be trusted",
    )
    made.add_argument(
        "--backend", action="extend", type=words, default=[], metavar="NAME", help="whose clock to test (default: all)"
    )
    made.add_argument("--candidate", default="reference", metavar="NAME", help="what the pairs are of (reference)")
    made.add_argument("--pairs", type=int, default=5, metavar="N", help="equal pairs, which must tie (default: 5)")
    made.add_argument("--tries", type=int, default=5, metavar="N", help="pairs with one slowed by 5 %% (default: 5)")
    made.add_argument(
        "--device", default="auto", help="where clocks are tested, and the candidate if it has that device"
    )
    made.add_argument("--json", action="store_true")
    made = command("env", machine_commands.env, "make, list or remove the environments of backends and runtimes")
    made.add_argument("action", choices=("sync", "list", "remove"))
    made.add_argument("backend", nargs="*", metavar="BACKEND", help="default: all")
    made.add_argument("--device", default="auto", help="auto, cpu or cuda: which build to make (default: auto)")
    made = command(
        "portability", onnx_commands.portability, "where the exported files really run, how right and how fast"
    )
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
    made = command("check", onnx_commands.check, "where one ONNX file of your own runs, and how right")
    made.add_argument("model", metavar="MODEL.onnx")
    made.add_argument("--reference", metavar="IO.npz", help="inputs and outputs by their names (default: drawn inputs)")
    add_runtimes(made)
    made = command("doctor", machine_commands.doctor, "what this machine has and lacks")
    made.add_argument("--json", action="store_true")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = parser().parse_args(arguments)
    from crossframe.tasks.data import DataError

    # Ended from outside is ended like Ctrl-C: what was started goes too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return parsed.do(parsed)
    except (Usage, argparse.ArgumentTypeError) as error:
        say(f"crossframe: {error}")
        return USAGE
    except (Missing, DataError) as error:
        say(f"crossframe: {error}")
        return MISSING
    except KeyboardInterrupt:  # `run`, which has something to keep, does not let it come here
        say("interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
