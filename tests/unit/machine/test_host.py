"""The description of the machine."""

import os
from pathlib import Path

from crossframe.harness.machine import host


def test_the_fingerprint_describes_this_machine() -> None:
    fingerprint = host.fingerprint()
    assert fingerprint.affinity == sorted(os.sched_getaffinity(0))
    assert fingerprint.processors == os.cpu_count()
    assert fingerprint.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_missing_file_or_match_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("clock: 100 MHz\n")
    assert host.search_file(r"clock: (\d+)", str(tmp_path / "file")) == "100"
    assert host.search_file(r"voltage: (\d+)", str(tmp_path / "file")) is None
    assert host.search_file(r"clock: (\d+)", str(tmp_path / "absent")) is None
