"""The commands that read runs and say what came of them."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path

from crossframe.harness.console import say
from crossframe.harness.errors import DONE, GATE_TRIPPED
from crossframe.harness.report import formats


def report_run(arguments: argparse.Namespace) -> int:
    from crossframe.harness.records import store
    from crossframe.harness.report import document
    from crossframe.harness.report.page import page

    folder = Path(arguments.run)
    if arguments.format == "parquet":
        from crossframe.harness.records import parquet

        sys.stdout.buffer.write(parquet.parquet(store.read_with_warnings(folder)))
        return DONE
    told = document.document(folder)
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    if arguments.format == "html":
        print(page.write(folder))
    else:
        print(formats.FORMATS[arguments.format](told), end="")
    return DONE


def decide(arguments: argparse.Namespace) -> int:
    from crossframe.backends import discover
    from crossframe.harness.decision import criteria, decision_record

    weights = Path(arguments.weights) if arguments.weights else None
    profile = criteria.read_weights(weights) if weights else criteria.PROFILES[arguments.profile]
    facts = {name: backend.facts.get("facts", {}) for name, backend in discover().items()}
    told = decision_record.document(Path(arguments.run), facts, profile, arguments.require, date.today())
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(decision_record.FORMATS[arguments.format](told), end="")
    return DONE


def compare(arguments: argparse.Namespace) -> int:
    from crossframe.harness.decision import compare as comparing

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
    from crossframe.harness.decision import history as past

    told = past.document(Path(arguments.folder))
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(json.dumps(told, indent=1) + "\n" if arguments.json else past.as_text(told), end="")
    return DONE
