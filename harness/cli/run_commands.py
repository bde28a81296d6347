"""The commands that train, prove and measure."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from crossframe.harness.console import say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED, MISSING
from crossframe.harness.plan.options import RESULTS, new_folder, options_of
from crossframe.harness.report import formats


def plan(arguments: argparse.Namespace) -> int:
    from crossframe.harness.plan import estimate
    from crossframe.harness.plan.plan import make_plan

    made = make_plan(options_of(arguments))
    told = estimate.estimate(made, RESULTS)
    print(json.dumps(told, indent=1) if arguments.json else estimate.as_text(told))
    return DONE


def run(arguments: argparse.Namespace) -> int:
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.records import store
    from crossframe.harness.report import document
    from crossframe.harness.report.page import page
    from crossframe.harness.run import folder as folders
    from crossframe.harness.run.run import interruptible

    if arguments.resume:
        folder = Path(arguments.resume)
        told = store.read_run(folder)
        made = folders.resumed(told)
        done = {record["job"] for record in store.read_with_warnings(folder)}
        say(f"{len(done & {job.name for job in made.jobs})} of {len(made.jobs)} jobs are done already")
    else:
        made = make_plan(options_of(arguments))
        folder, done = new_folder(arguments.out, arguments.preset), set()
        try:
            folders.start(made, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
    say(f"{len(made.jobs)} jobs on {made.device} into {folder}")
    code = interruptible(made, folder, done)
    if code != INTERRUPTED:
        print(formats.as_table(document.document(folder)), end="")
    say(f"report: {page.write(folder)}\nas table, json, csv or md: crossframe report {folder} --format json")
    return code


def parity(arguments: argparse.Namespace) -> int:
    from crossframe.harness.parity import verify
    from crossframe.harness.plan.plan import make_plan

    found = verify.examine(make_plan(options_of(arguments)), arguments.seed, arguments.effects)
    print(json.dumps(found, indent=1) + "\n" if arguments.json else verify.as_text(found), end="")
    states = {verdict["state"] for verdict in found}
    if "not_installed" in states:
        return MISSING
    return GATE_TRIPPED if states - {"ok", "unsupported"} else DONE


def infer(arguments: argparse.Namespace) -> int:
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.run import inference

    sizes = arguments.batch_size or [1, 8, 64, 512]
    found = inference.examine(make_plan(options_of(arguments) | {"batch_size": []}), sizes)
    print(json.dumps(found, indent=1) + "\n" if arguments.json else inference.as_text(found), end="")
    return CELL_FAILED if any(one["state"] not in ("ok", "unsupported") for one in found) else DONE


def conformance(arguments: argparse.Namespace) -> int:
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.run import conformance as examiner

    told = options_of(arguments) | {"backend": [arguments.name], "mode": arguments.mode or ["all"]}
    counts = {"passed": 0, "failed": 0, "unsupported": 0}
    for result in examiner.examine(make_plan(told)):
        counts[result.state] += 1
        print(f"{result.name} {result.state.upper()}" + (f": {result.reason}" if result.reason else ""), flush=True)
    if not counts["passed"]:
        counts["failed"] += 1  # nothing that passed is nothing that was shown
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return GATE_TRIPPED if counts["failed"] else DONE
