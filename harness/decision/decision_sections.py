"""The sections of a decision record in Markdown; frameworks have their titles, as everywhere that people read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress

from crossframe.harness.analysis.labels import ABSENT, format_probability, format_significant
from crossframe.harness.console import escape_markdown, markdown_table
from crossframe.harness.decision.consequences import Consequence
from crossframe.harness.decision.criteria import CRITERIA, MEASURED, to_points
from crossframe.harness.decision.decision_record import CandidateReport, CriterionValue, DecisionRecord, Workload

BLANK = "(to be filled in)"
# Measured criterion -> unit, and its size in the unit of the metric.
UNITS: dict[str, tuple[str, float]] = {
    "train_samples_per_s": ("samples/s", 1),
    "time_to_target_s": ("s", 1),
    "first_step_s": ("s", 1),
    "import_s": ("s", 1),
    "infer_latency_s": ("ms", 1e-3),
    "infer_samples_per_s": ("samples/s", 1),
    "host_peak_bytes": ("MB", 1e6),
    "onnx_bytes": ("kB", 1e3),
}


def map_titles(record: DecisionRecord) -> dict[str, str]:
    """Return the title of each candidate by its name."""
    return {candidate.name: candidate.title for candidate in record.candidates}


def list_header(record: DecisionRecord) -> list[str]:
    """Return a table with the status of the record, and with its run, machine and version."""
    run, host = record.run, record.run.host
    gpus = ", ".join(gpu.name for gpu in host.gpus) or "no GPU"
    memory = f"{host.memory_bytes / 1e9:.0f} GB" if host.memory_bytes else "unknown memory"
    machine = [host.cpu or "unknown processor", f"{len(host.affinity)} of {host.processors} processors", memory, gpus]
    status = f"{record.status}, until it is signed below"
    rows = [
        ["owner", BLANK],
        ["date", record.date],
        ["expires", f"{record.expires}, or earlier if a version, the machine or a workload changes; then decide again"],
        ["use case", record.use_case],
        ["run", f"{run.name} of {run.created}, preset {run.preset}, device {run.device}"],
        ["machine", ", ".join([*machine, host.system or "unknown system", f"kernel {host.kernel}"])],
        ["Crossframe", f"{run.crossframe}, commit {run.commit or 'unknown'}, Python {host.python}"],
    ]
    return markdown_table(["status", status], rows)


def list_candidates(record: DecisionRecord) -> list[str]:
    """Return a line for each candidate: its versions, repeats and modes, or why it is excluded."""
    lines = []
    for candidate in record.candidates:
        modes = ", ".join(dict.fromkeys(f"{workload.task} {workload.mode}" for workload in candidate.workloads))
        text = f"excluded: {candidate.excluded}" if candidate.excluded else f"{candidate.rounds} repeats ({modes})"
        if candidate.first_probability is not None:
            text += f", first with a probability of {format_probability(candidate.first_probability)}"
        versions = ", ".join(f"{package} {version}" for package, version in candidate.versions.items())
        lines.append(f"- {candidate.title} (`{candidate.name}`{', ' if versions else ''}{versions}): {text}")
    return [escape_markdown(line) for line in lines]


def tabulate_criteria(record: DecisionRecord) -> list[str]:
    """Return a table with a row for each criterion: its weight, and the value and ratio of every candidate."""
    candidates = [candidate for candidate in record.candidates if candidate.values]
    if not candidates or record.reference is None:
        return []
    rows = [
        [
            _name_criterion(name),
            f"{record.weights[name]:.0%}",
            *(_format_value(candidate, name) for candidate in candidates),
        ]
        for name in CRITERIA
    ]
    headings = ["criterion", "weight", *(candidate.title for candidate in candidates)]
    reference = map_titles(record)[record.reference]
    leader = ", which leads at these weights" if record.reference in record.choice else ""
    intro = (
        f"In parentheses: ratio to {escape_markdown(reference)}{leader}; above 1 is better. Values are geometric means "
        "over the workloads. To a first step and an import, half a second is added before a ratio is computed."
    )
    return [intro, "", *markdown_table(headings, rows)]


def tabulate_workloads(record: DecisionRecord) -> list[str]:
    """Return a table of the measured values in each workload, for the criteria that have a weight."""
    candidates = [candidate for candidate in record.candidates if candidate.values]
    weighed = [name for name in MEASURED if record.weights[name]]
    labels, common = _label_workloads([workload for candidate in candidates for workload in candidate.workloads])
    if len(labels) < 2 or not weighed:  # the table of criteria has the same values
        return []
    # Every candidate with values has all workloads, in the same order.
    reference = next(candidate for candidate in candidates if candidate.name == record.reference)
    rows = [
        [
            label,
            _name_criterion(name),
            *(_format_measured(each.workloads[index], reference.workloads[index], name) for each in candidates),
        ]
        for index, label in enumerate(labels)
        for name in weighed
    ]
    intro = [f"All: {', '.join(common)}.", ""] if common else []
    return [*intro, *markdown_table(["workload", "criterion", *(candidate.title for candidate in candidates)], rows)]


def _label_workloads(workloads: Sequence[Workload]) -> tuple[list[str], list[str]]:
    """Return the label of each workload, its task and the settings that differ; and the settings that all share."""
    settings = [_read_settings(workload) for workload in workloads]
    differs = [len(set(values)) > 1 for values in zip(*settings)]
    labels = [", ".join([workload.task, *compress(each, differs)]) for workload, each in zip(workloads, settings)]
    common = [] if not settings else [value for value, differ in zip(settings[0], differs) if not differ]
    return list(dict.fromkeys(labels)), common


def _name_criterion(name: str) -> str:
    return f"{CRITERIA[name]}, {UNITS[name][0] if name in MEASURED else 'looked up'}"


def _read_settings(workload: Workload) -> list[str]:
    return [f"batch {workload.batch_size}", workload.precision, workload.device]


def _format_value(candidate: CandidateReport, criterion: str) -> str:
    """Return the value of a candidate for a criterion, with the ratio to the reference if it was measured."""
    value = candidate.values.get(criterion, CriterionValue(None, "measured"))
    if value.kind == "unknown":
        return "unknown"
    if value.kind == "looked up":
        return "yes" if value.points else "no"
    measured = [workload.values[criterion] for workload in candidate.workloads if criterion in workload.values]
    if value.points is None or not measured:
        return ABSENT
    mean = math.exp(sum(map(math.log, measured)) / len(measured))
    return _format_with_ratio(criterion, mean, value.ratio)


def _format_measured(workload: Workload, reference: Workload, criterion: str) -> str:
    """Return a value in one workload, with its ratio to that of the reference."""
    value, base = workload.values.get(criterion), reference.values.get(criterion)
    if value is None:
        return ABSENT
    ratio = None if base is None else 2 ** (to_points(criterion, value) - to_points(criterion, base))
    return _format_with_ratio(criterion, value, ratio)


def _format_with_ratio(criterion: str, value: float, ratio: float | None) -> str:
    text = format_significant(value / UNITS[criterion][1])
    return text if ratio is None else f"{text} ({ratio:.2f}x)"


def list_flips(record: DecisionRecord) -> list[str]:
    """Return a line for each criterion whose weight decides who comes first."""
    titles = map_titles(record)
    lines = [
        f"- {CRITERIA[flip.criterion]} at {flip.at:.0%} instead of {flip.weight:.0%}: {titles[flip.to]} comes first"
        for flip in record.flips
    ]
    if record.flips:
        return [escape_markdown(line) for line in lines]
    return ["No weight of a single criterion changes who comes first."] if record.reference else []


def list_consequences(record: DecisionRecord) -> list[str]:
    """Return what each chosen candidate gains and gives up, compared with the best of the others."""
    titles = map_titles(record)
    if not record.choice:
        return ["Nothing is recommended, so nothing follows."]
    lines = []
    for name in record.choice:
        members = [consequence for consequence in record.consequences if consequence.choice == name]
        gained = [_describe_consequence(each, titles) for each in members if each.ratio and each.ratio > 1]
        given_up = [_describe_consequence(each, titles) for each in members if not each.ratio or each.ratio < 1]
        lines.append(f"- {titles[name]} gains: {'; '.join(gained) or 'nothing beyond 5 %'}")
        lines.append(f"- {titles[name]} gives up: {'; '.join(given_up) or 'nothing beyond 5 %'}")
    note = "In each criterion the candidate is compared with the best of the others that could be chosen."
    return [note, "", *(escape_markdown(line) for line in lines)]


def _describe_consequence(consequence: Consequence, titles: dict[str, str]) -> str:
    about, rival = CRITERIA[consequence.criterion], titles[consequence.rival]
    if consequence.ratio is None:
        return f"{about} ({rival} does)"
    if consequence.ratio > 1:
        return f"{about} ({consequence.ratio:.2f}x better than {rival})"
    return f"{about} ({rival} is {1 / consequence.ratio:.2f}x better)"


def tabulate_switching(record: DecisionRecord) -> list[str]:
    """Return a table of what is known about the cost of switching to each candidate."""
    if not record.candidates:
        return []
    rows = [
        ["environment on disk, MB", *_each(record.candidates, "environment_bytes", 1e6)],
        ["time to install it, s", *_each(record.candidates, "environment_install_s", 1)],
        ["code of its backend for all tasks, lines", *_each(record.candidates, "backend_lines", 1)],
        [
            "where it differs from the specification",
            *(
                ", ".join(f"{word}: {value}" for word, value in candidate.switching.dialect.items()).replace("_", " ")
                or "nowhere"
                for candidate in record.candidates
            ),
        ],
        ["code, checkpoints and people of your team", *([BLANK] * len(record.candidates))],
    ]
    return markdown_table(["to switch to", *(candidate.title for candidate in record.candidates)], rows)


def _each(candidates: Sequence[CandidateReport], part: str, unit: float) -> list[str]:
    values = (getattr(candidate.switching, part) for candidate in candidates)
    return ["unknown" if value is None else f"{value / unit:,.0f}" for value in values]


def list_sources(record: DecisionRecord) -> list[str]:
    """Return a line for each looked-up fact that is weighed or required: its value, date and source."""
    relevant = {*CRITERIA, *(text.partition("=")[0] for text in record.requirements)}
    lines = []
    for candidate in record.candidates:
        for name, fact in candidate.facts.items():
            if name in relevant:
                value = {True: "yes", False: "no"}[fact.value] if isinstance(fact.value, bool) else fact.value
                note = f", {fact.note}" if fact.note else ""
                lines.append(f"- {candidate.title}, {name}: {value}{note} ({fact.date}, {fact.source})")
    return [escape_markdown(line) for line in lines]
