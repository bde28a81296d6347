"""The program `crossframe`: data goes to stdout, messages to stderr; `crossframe.harness.errors` has the exit codes."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from crossframe.harness.cli.system_errors import describe_system_error
from crossframe.harness.console import say, suggest_name
from crossframe.harness.errors import (
    DONE,
    INTERRUPTED,
    MISSING,
    USAGE,
    DamagedFileError,
    ExitCode,
    MissingError,
    UsageError,
)

PIPE_CLOSED = 141  # as a shell reports a program that SIGPIPE ended
# Thresholds of Python's collector of cycles. By default it visits all objects again and again while thousands of
# records are read, none of which it can free; that takes a sixth of the time of a large report.
RARE_COLLECTIONS = (200_000, 50, 1000)

# Command -> (module, summary). A module is imported when its command runs, so that `crossframe --help` starts fast.
COMMANDS = {
    "run": ("run_commands", "Train, measure and export; ends in the answer, a table and an HTML report."),
    "plan": ("run_commands", "Show what `run` would do and about how long it takes; runs nothing."),
    "parity": ("run_commands", "Verify that the backends compute what the reference model computes."),
    "infer": ("run_commands", "Measure inference alone, beside onnxruntime on the exported file."),
    "conformance": ("run_commands", "Check one backend, built-in or third-party, against the whole contract."),
    "report": ("result_commands", "Print the report of a run again, from its records."),
    "decide": ("result_commands", "Recommend a backend from a run, as a decision record."),
    "compare": ("result_commands", "Show what changed between two runs: speed, size, accuracy."),
    "history": ("result_commands", "Show how metrics changed over the runs of a folder, host by host."),
    "portability": ("onnx_commands", "Run the exported files in every ONNX runtime: correctness and speed."),
    "check": ("onnx_commands", "Run one ONNX file of your own in every runtime."),
    "env": ("machine_commands", "Make, list or remove the environments of backends and runtimes."),
    "selftest": ("machine_commands", "Measure known costs, to see what this machine can resolve."),
    "doctor": ("machine_commands", "Show what this machine has, what it lacks, and the remedies."),
    "help": ("program", "Show the help of a command."),
}


class LazyGroup(click.Group):
    """The group of all commands, each imported only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, summary = COMMANDS[cmd_name]
        function = "show_help" if cmd_name == "help" else cmd_name
        command: click.Command = getattr(import_module(f"crossframe.harness.cli.{module}"), function)
        command.help = command.help or summary
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; a UsageError suggests a similar one if there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}{suggest_name(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; the error of a wrong argument carries its context, for the usage line."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            name = str(ctx.invoked_subcommand)
            command = self.get_command(ctx, name)
            assert command is not None
            raise click.UsageError(str(error), click.Context(command, info_name=name, parent=ctx)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def print_version(context: click.Context, _parameter: click.Parameter, requested: bool) -> None:
    """Print the version and end the program; the callback of `--version`."""
    if not requested or context.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"crossframe {version('crossframe')}")
    context.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit codes: 0 done, 1 a cell failed, 2 usage, 3 something is missing, 4 a gate tripped, 130 interrupted.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=print_version, help="Show the version."
)
def crossframe() -> None:
    """Run the same networks in every framework: verified equal, then measured."""


@click.command()
@click.argument("command", required=False)
@click.pass_context
def show_help(context: click.Context, command: str | None) -> int:
    """Show the help of COMMAND, or of the program."""
    assert context.parent is not None
    if command is None:
        click.echo(context.parent.get_help())
        return DONE
    target = crossframe.get_command(context.parent, command)
    if target is None:
        suggestion = suggest_name(command, COMMANDS)
        listing = f" Available: {', '.join(COMMANDS)}" if suggestion else f"; available: {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {command!r}{suggestion}{listing}")
    click.echo(target.get_help(click.Context(target, info_name=command, parent=context.parent)))
    return DONE


def exit_code_for(error: Exception) -> ExitCode | None:
    """Return the exit code of an error that is explained by its message alone; None for any other error."""
    from crossframe.backends.manifest import ManifestError
    from crossframe.harness.launch.child import ChildError
    from crossframe.tasks.data import DataError

    if isinstance(error, (UsageError, ManifestError, click.ClickException)):
        return USAGE
    missing = (MissingError, DataError, DamagedFileError, OSError, MemoryError, ChildError)
    return MISSING if isinstance(error, missing) else None


def describe_error(error: Exception) -> str:
    """Return the message of an error; of a wrong argument, with the usage and the command whose help explains it."""
    if isinstance(error, (OSError, MemoryError)):
        return describe_system_error(error)
    if not isinstance(error, click.UsageError):
        return error.format_message() if isinstance(error, click.ClickException) else str(error)
    context = error.ctx or click.Context(crossframe, info_name="crossframe")
    message = error.format_message().rstrip(".")
    message += f"{' See' if message.endswith('?') else '; see'} `{context.command_path} --help`"
    return f"{message}\n{context.get_usage()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments`, by default those of the process, and return its exit code."""
    handle_signals()
    use_plain_output()
    gc.set_threshold(*RARE_COLLECTIONS)
    try:
        code = crossframe.main(arguments, prog_name="crossframe", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return USAGE
    except (click.Abort, KeyboardInterrupt):  # `run` handles an interrupt itself, since it keeps its records
        say("interrupted")
        return INTERRUPTED
        if sys.stdout is not None:  # it is None where the shell closed it
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has gone
        drop_output()
        return PIPE_CLOSED
    except Exception as error:
        exit_code = exit_code_for(error)
        if exit_code is None:
            raise
        say(f"crossframe: {describe_error(error)}")
        if isinstance(error, OSError):
            drop_output()
        return exit_code
    return int(code or DONE)


def drop_output() -> None:
    """Forget what was not written to stdout yet: the interpreter would try it again when it ends, and fail again."""
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        with suppress(AttributeError, OSError, ValueError):  # there is no stdout, or no file behind it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def handle_signals() -> None:
    """Handle a termination from outside, or the end of the terminal, like Ctrl-C, so that child processes end too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as with nohup
            signal.signal(number, signal.default_int_handler)


def use_plain_output() -> None:
    """Replace characters that the output cannot encode, as in an ASCII locale, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
