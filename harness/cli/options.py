"""The options that several commands share, and how a command receives them: as one typed argument."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any

import click

from crossframe.harness.cli.parameters import (
    DURATION,
    INTERPRETER,
    NAMES,
    POSITIVE,
    POSITIVES,
    collect_pairs,
    flatten,
)
from crossframe.harness.plan.options import OPTION_HELP, usable_cpus
from crossframe.harness.records.model import RunOptions

Command = Callable[..., int]
Decorator = Callable[[Command], Command]


@dataclass(frozen=True)
class Flag:
    """How a field of RunOptions is written on the command line; without a type it is a switch."""

    name: str
    type: click.ParamType[Any] | None = None
    metavar: str | None = None


# Field of RunOptions -> flag. Help texts and defaults come from OPTION_HELP and RunOptions.
FLAGS = {
    "task": Flag("--task", NAMES, "NAME,..."),
    "scale": Flag("--scale", POSITIVES, "N,..."),
    "backend": Flag("--backend", NAMES, "NAME,..."),
    "mode": Flag("--mode", NAMES, "NAME,..."),
    "device": Flag("--device", click.STRING, "DEVICE"),
    "precision": Flag("--precision", NAMES, "NAME,..."),
    "batch_size": Flag("--batch-size", POSITIVES, "N,..."),
    "preset": Flag("--preset", click.STRING, "NAME"),
    "cpus": Flag("--threads", POSITIVE, "N"),
    "timeout_s": Flag("--timeout", POSITIVE, "S"),
    "data": Flag("--data", click.STRING, "NAME"),
    "data_dir": Flag("--data-dir", click.STRING, "DIR"),
    "python": Flag("--python", INTERPRETER, "NAME=PATH"),
    "repeats": Flag("--repeats", POSITIVE, "N"),
    "time_budget_s": Flag("--time-budget", DURATION, "TIME"),
    "seeds": Flag("--seeds", POSITIVE, "N"),
    "parity": Flag("--no-parity"),
    "profile_operators": Flag("--profile-operators"),
}
REPETITION = ("repeats", "time_budget_s", "seeds", "parity", "profile_operators")
SELECTION = tuple(name for name in FLAGS if name not in REPETITION)


def add_list(
    name: str, field: str, type: click.ParamType[Any], help: str, metavar: str | None = "NAME,..."
) -> Decorator:
    """Return the decorator that adds an option whose values are separated by commas or repeated."""
    return click.option(name, field, type=type, metavar=metavar, multiple=True, callback=flatten, help=help)


def add_pairs(name: str, field: str, help: str, metavar: str | None) -> Decorator:
    """Return the decorator that adds a repeatable option with an interpreter as its value."""
    return click.option(
        name, field, type=INTERPRETER, metavar=metavar, multiple=True, callback=collect_pairs, help=help
    )


def make_option(name: str, defaults: RunOptions) -> Decorator:
    """Return the decorator that adds the option of a field of RunOptions to a command."""
    flag, text = FLAGS[name], OPTION_HELP[name]
    default = None if name == "cpus" else getattr(defaults, name)  # None: all, see `usable_cpus`
    if flag.type is None:
        return click.option(flag.name, name, is_flag=True, flag_value=not default, default=default, help=text)
    if isinstance(default, list):
        return add_list(flag.name, name, flag.type, text, flag.metavar)
    if isinstance(default, dict):
        return add_pairs(flag.name, name, text, flag.metavar)
    if default is not None and "(default" not in text:
        text += f" (default: {default})"
    return click.option(flag.name, name, type=flag.type, metavar=flag.metavar, default=default, help=text)


def write_run_command(options: RunOptions) -> str:
    """Return the command that starts a run with these options; options with their default values are left out."""
    words, defaults = ["crossframe", "run"], RunOptions()
    for name, flag in FLAGS.items():
        value, default = getattr(options, name), getattr(defaults, name)
        if value == default:
            continue
        if name == "cpus":
            words += [flag.name, str(len(value))]
        elif flag.type is None:
            words.append(flag.name)
        elif isinstance(value, dict):
            words += [word for item in value.items() for word in (flag.name, "=".join(item))]
        else:
            text = f"{value:g}s" if name == "time_budget_s" else str(value)
            words += [flag.name, ",".join(map(str, value)) if isinstance(value, list) else text]
    return shlex.join(words)


def add_run_options(names: Iterable[str], defaults: RunOptions | None = None) -> Decorator:
    """Return the decorator that adds options to a command; the command gets all as one argument `options`.

    `names` are fields of RunOptions; the other fields keep their `defaults`.
    """
    base, names = defaults or RunOptions(), tuple(names)

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(**arguments: Any) -> int:
            values = {name: arguments.pop(name) for name in names}
            values["cpus"] = usable_cpus(values["cpus"])
            return function(options=replace(base, **values), **arguments)

        decorated: Command = command
        for name in reversed(names):
            decorated = make_option(name, base)(decorated)
        return decorated

    return decorate


def pack(argument: str, kind: type) -> Decorator:
    """Return the decorator that passes the parameters named like the fields of a dataclass as one argument."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(**arguments: Any) -> int:
            values = {part.name: arguments.pop(part.name) for part in fields(kind)}
            return function(**{argument: kind(**values)}, **arguments)

        return command

    return decorate


def add_format(*formats: str) -> Decorator:
    """Return the decorator that adds `--format`, with the first of `formats` as its default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default=formats[0],
        help=f"format of the output (default: {formats[0]})",
    )


def add_wide(function: Command) -> Command:
    """Add `--wide` to a command that prints a table for a terminal of any width."""
    text = "table with all columns and notes, however wide the terminal is"
    decorated: Command = click.option("--wide", is_flag=True, help=text)(function)
    return decorated


@dataclass(frozen=True)
class RuntimeArguments:
    """The ONNX runtimes to use, and what each process may take."""

    runtimes: list[str]  # empty: all
    timeout_s: int
    device: str
    interpreters: dict[str, str]


def add_runtime_options(function: Command) -> Command:
    """Add the options of `RuntimeArguments`; the command gets them as one argument `runtime_arguments`."""
    options = (
        add_list("--runtime", "runtimes", NAMES, "ONNX runtimes (default: all)"),
        click.option(
            "--timeout",
            "timeout_s",
            type=POSITIVE,
            metavar="S",
            default=120,
            help="seconds per file and runtime (default: 120)",
        ),
        click.option(
            "--device",
            default="auto",
            metavar="DEVICE",
            help="cuda[:N]: also use the runtimes for GPUs (default: auto)",
        ),
        add_pairs("--python", "interpreters", "interpreter to use for a runtime, as it is", "RUNTIME=PATH"),
    )
    command = pack("runtime_arguments", RuntimeArguments)(function)
    for option in reversed(options):
        command = option(command)
    return command
