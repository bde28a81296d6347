"""Warnings about a disturbed machine."""

from dataclasses import replace

from crossframe.harness.analysis import warnings
from crossframe.harness.records.model import Interference, ProcessSamples
from tests.support.synthetic import HOST, make_record

CALM = Interference(other_programs_share=0.01, steal_share=0.0, swapped_pages=0, throttlings=None)


def test_a_calm_machine_has_no_warning() -> None:
    assert warnings.warnings([make_record("a", 1, 0.1, machine=CALM)], HOST) == []


def test_each_disturbance_is_named() -> None:
    machines = [CALM, replace(CALM, other_programs_share=0.4), replace(CALM, swapped_pages=9), None]
    records = [make_record("a", repeat, 0.1, machine=machine) for repeat, machine in enumerate(machines, start=1)]
    lines = warnings.warnings(records, replace(HOST, governor="powersave"))
    assert [line.split(":")[0] for line in lines] == ["W-OTHERS", "W-SWAP", "W-FREQUENCY"]
    assert "1 of 3 jobs" in lines[0]
    assert "40%" in lines[0]


def test_memory_that_the_worker_does_not_report_is_named() -> None:
    seen = ProcessSamples(2, 100_000_000, 100_000_000, 400_000_000, [0], 9, 0.001)
    records = [make_record("a", 1, 0.1, processes=seen), make_record("b", 1, 0.1)]
    (line,) = warnings.warnings(records, HOST)
    assert line.startswith("W-MEMORY: in 1 of 2 jobs")
    assert "300 MB" in line
    assert "2 processes" in line
    honest = replace(seen, processes=1, total_peak_bytes=104_000_000)
    assert warnings.warnings([make_record("a", 1, 0.1, processes=honest)], HOST) == []
