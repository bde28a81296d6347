"""The command line: the program, its parameters and shared options, and one file of commands per subject."""

from crossframe.harness.cli.program import main

__all__ = ["main"]
