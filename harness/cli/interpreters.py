"""The check of the interpreters that the user names with `--python`, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def check_interpreters(interpreters: Mapping[str, str]) -> None:
    """Raise UsageError for a name that no backend or runtime has, MissingError for an interpreter that can't run it.

    The packages of a runtime are not looked for, since builds of one's own have other names; its positive control
    tests it.
    """
    if not interpreters:
        return
    from crossframe.backends import discover
    from crossframe.harness import runtimes
    from crossframe.harness.machine.environments import check_interpreter
    from crossframe.harness.plan.plan import select_names

    backends = discover()
    select_names("backend or runtime", interpreters, [*backends, *runtimes.discover()])
    for name, python in interpreters.items():
        check_interpreter(name, backends[name].manifest.packages if name in backends else (), Path(python))
