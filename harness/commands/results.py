"""The commands that read runs and say what came of them."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path

from harness.exits import DONE, GATE_TRIPPED
from harness.messages import say


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
    from harness.decision import criteria, decision_record

    weights = Path(arguments.weights) if arguments.weights else None
    profile = criteria.read_weights(weights) if weights else criteria.PROFILES[arguments.profile]
    facts = {name: backend.facts.get("facts", {}) for name, backend in discover().items()}
    told = decision_record.document(Path(arguments.run), facts, profile, arguments.require, date.today())
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(decision_record.FORMATS[arguments.format](told), end="")
    return DONE


def compare(arguments: argparse.Namespace) -> int:
    from harness.decision import compare as comparing

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
    from harness.decision import history as past

    told = past.document(Path(arguments.folder))
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(json.dumps(told, indent=1) + "\n" if arguments.json else past.as_text(told), end="")
    return DONE
