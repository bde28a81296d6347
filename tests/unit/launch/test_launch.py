"""What a job is started with."""

from pathlib import Path

from crossframe.backends import Backend
from crossframe.harness.launch.launch import launch

PYTHON = """#!/bin/sh
echo "$PLACE for $THREADS" > seen
mkdir "$PLACE/compiled" && echo left > "$PLACE/compiled/code"
"""


def test_a_job_has_a_folder_of_its_own_that_goes_with_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    words = {"PLACE": "{scratch}/", "THREADS": "{threads}"}
    backend = Backend("any", "any", tmp_path / "any", {"environment": words})
    places = []
    for name in ("one", "two"):
        assert "no measures" in str(launch(python, backend, {"cpus": [0]}, tmp_path / name, 60).reason)
        place, _, threads = (tmp_path / name / "seen").read_text().partition(" for ")
        assert threads == "1\n" and not Path(place).exists()
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["job.json", "log.txt", "seen"]
        places.append(place)
    assert places[0] != places[1]
