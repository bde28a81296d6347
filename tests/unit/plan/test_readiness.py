"""Builds that a GPU cannot run: refused alike by a plan, by `crossframe doctor` and by a run."""

import sys
from pathlib import Path

import pytest

from crossframe.harness.cli import doctor
from crossframe.harness.machine import environments
from crossframe.harness.plan import estimate, readiness
from crossframe.harness.worker.states import State
from tests.support.fake_nvml import AMPERE, HOPPER, KEPLER, FakeGpu, install_driver
from tests.support.synthetic import plan_for

NO_RESULTS = Path("nowhere")


@pytest.mark.parametrize(
    ("driver", "gpu", "refused"),
    [
        ("580.82.07", HOPPER, {"mxnet": "capability up to 8.9; the Hopper GPU has 9.0"}),
        ("580.82.07", AMPERE, {}),
        ("550.54.15", AMPERE, {"torch": "needs driver 580.65.06 or newer; the installed driver is 550.54.15"}),
        ("580.82.07", KEPLER, dict.fromkeys(("jax", "mxnet", "tensorflow", "torch"), "the Kepler GPU has 3.7")),
    ],
)
def test_builds_that_a_gpu_cannot_run_are_named_in_advance(
    monkeypatch: pytest.MonkeyPatch, driver: str, gpu: FakeGpu, refused: dict[str, str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_driver(monkeypatch, driver, gpu)
    plan = plan_for("cuda")
    planned = estimate.estimate(plan, NO_RESULTS)
    assert planned.unsupported.keys() == refused.keys()
    assert not set(planned.environments_to_make) & refused.keys()
    reasons = {row.backend: row.reason for row in doctor.list_cuda_support() if row.backend in plan.backends}
    for name, reason in refused.items():
        assert reason in planned.unsupported[name]
        assert reason in str(reasons[name])
        assert f"{plan.titles[name]} is unsupported on cuda:0" in estimate.as_table(planned)
    assert {name for name, reason in reasons.items() if reason is None} == set(plan.backends) - refused.keys()
    # A run gives the same reason and starts nothing.
    monkeypatch.setattr(environments, "make_environment", lambda *_: environments.Environment(Path("python")))
    ready, missing = readiness.prepare_environments(plan, plan.backends)
    assert missing == {name: (State.UNSUPPORTED, planned.unsupported[name]) for name in refused}
    assert ready.keys() == plan.backends.keys() - refused.keys()


def test_an_interpreter_of_the_user_is_not_checked_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_driver(monkeypatch, "580.82.07", KEPLER)
    plan = plan_for("cuda")
    assert readiness.refusals(plan).keys() == plan.backends.keys()
    assert readiness.refusals(plan_for("cuda", python=dict.fromkeys(plan.backends, sys.executable))) == {}
