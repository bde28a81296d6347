"""The command line: a parser, and one file of commands per subject."""

from crossframe.harness.cli.parser import main

__all__ = ["main"]
