"""A run on a machine that cannot install an environment."""

import json
import os
from pathlib import Path

from tests.conftest import Command, third_party_env_vars


def test_a_failed_installation_is_a_state_of_its_cells_only(crossframe: Command, tmp_path: Path) -> None:
    variables = {
        name: value for name, value in third_party_env_vars().items() if not name.startswith(("PIP_FIND", "PIP_EXTRA"))
    }
    # An index that refuses connections.
    variables |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}
    variables |= {"CROSSFRAME_CACHE": str(tmp_path / "cache"), "PIP_CONFIG_FILE": os.devnull}
    selection = ("--backend", "mxnet,reference", "--task", "circle", "--preset", "quick")
    process = crossframe("run", *selection, "--out", tmp_path / "run", env_vars=variables, timeout_s=300)
    assert process.returncode == 1, process.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    states = {line["cell"]["backend"]: (line["state"], line["reason"]) for line in lines}
    assert states["reference"][0] == "ok"
    assert states["mxnet"][0] == "not_installed"
    assert "could not be made" in states["mxnet"][1]
