"""The meter of what the machine does beside a job."""

import os
import subprocess
import sys
import time

import pytest

from crossframe.harness.launch import interference
from crossframe.harness.launch.interference import InterferenceMeter

PROCESSORS = os.cpu_count() or 1


@pytest.mark.skipif(interference.read_processor_times() is None, reason="this system has no /proc/stat")
def test_the_work_of_another_program_is_measured() -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ntime.sleep(60)"
    meter = InterferenceMeter()
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        share, elapsed_s = meter.read().other_programs_share, time.monotonic() - meter.begin
        program.kill()
    # It has not ended, so it is not yet counted as our child. The kernel counts in ticks, on each processor.
    ticks_s = interference.TICK_S * PROCESSORS
    assert share is not None
    assert share >= (0.5 - ticks_s) / (elapsed_s * PROCESSORS)


def test_our_own_work_is_not_attributed_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(100.0, 1.0), (108.0, 3.0)])
    own_s = iter([50.0, 56.0])
    monkeypatch.setattr(interference, "read_processor_times", lambda: next(times))
    monkeypatch.setattr(interference, "own_processor_s", lambda: next(own_s))
    meter = InterferenceMeter()
    meter.begin -= 10
    measured = meter.read()
    assert measured.other_programs_share == pytest.approx(2 / (10 * PROCESSORS), rel=0.01)
    assert measured.steal_share == pytest.approx(2 / (10 * PROCESSORS), rel=0.01)


def test_counters_that_the_system_lacks_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference, "read_processor_times", lambda: None)
    monkeypatch.setattr(interference, "count_swapped_pages", lambda: None)
    measured = InterferenceMeter().read()
    assert (measured.other_programs_share, measured.steal_share, measured.swapped_pages) == (None, None, None)
