"""The wheels that go to a GPU machine without a network, interpreters that use them, and the archive of the results.

Standard library only. The wheels are unpacked into a virtual environment that also sees the packages of an existing
interpreter, so the installation of the machine stays unchanged.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The platform of the GPU machine, not of this one. pip matches each platform exactly, so a list is needed.
TARGET = ("--python-version", "3.12", "--implementation", "cp")
PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in (17, 24, 27, 28, 31, 34, 35)))
ARCHIVE = "campaign.tar.gz"
# The files of the working folder that the archive holds; everything else can be drawn, trained or compiled again.
ARCHIVED = (
    *("manifest.json", "campaign.log", "steps/*"),
    *(f"runs/*/{name}" for name in ("run.json", "ceilings.json", "*.jsonl", "portability.json", "report.html")),
    "runs/*/report-files/*",
    *("cache/parity/*.json", "cache/selftest/*.json"),
)
LARGEST_BYTES = 16 << 20  # of one gathered file, unpacked
LOG_BYTES = 20_000  # of the end of a failed job's log


def read_list(name: str) -> list[str]:
    """Return the lines of a file in this folder, without comments."""
    lines = ((HERE / name).read_text()).splitlines()
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def pack(folder: Path) -> int:
    """Download the wheels of `wheels.txt` into `folder`, and their digests to `pack.json`; return pip's exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *TARGET]
    done = subprocess.run(
        [*command, *platforms, "--dest", str(folder), "--requirement", str(HERE / "wheels.txt")], check=False
    )
    if done.returncode:
        return done.returncode
    wheels = sorted(folder.glob("*.whl"))
    digests = {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    (folder / "pack.json").write_text(json.dumps({"commit": describe_commit(), "wheels": digests}, indent=1) + "\n")
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(f"{len(wheels)} wheels, {size / 1e6:.1f} MB, in {folder}")
    return 0


def describe_commit() -> str | None:
    """Return the commit of this checkout, with a `+` if files differ from it; None outside of a checkout."""
    words = ["describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def make_python(python: Path, wheels: Iterable[Path], folder: Path) -> Path:
    """Return an interpreter that sees the packages of `python` and those of `wheels`; made in `folder` once.

    The wheels come first. The .pth files of the other interpreter are read too.
    """
    created = folder / "bin" / "python"
    if (folder / "complete").exists():
        return created
    subprocess.run([str(python), "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    program = (
        "import json, site, sysconfig; print(json.dumps([*site.getsitepackages(), sysconfig.get_path('platlib')]))"
    )
    folders = dict.fromkeys(json.loads(run_program(python, program)))
    packages = Path(run_program(created, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    lines = [f"import site; site.addsitedir({folder!r})" for folder in folders if Path(folder).is_dir()]
    (packages / "beside.pth").write_text("\n".join(lines) + "\n")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(packages)
    (folder / "complete").touch()
    return created


def run_program(python: Path, program: str) -> str:
    """Run a short program in an interpreter and return its output."""
    return subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def list_packages(python: Path) -> dict[str, str]:
    """Return distribution -> version of all packages that an interpreter sees; names are normalized."""
    program = (
        "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    )
    versions = {name.lower().replace("_", "-"): version for name, version in json.loads(run_program(python, program))}
    return dict(sorted(versions.items()))


def archived_files(work: Path) -> Iterator[Path]:
    """Yield the files of the working folder that the archive holds."""
    for pattern in ARCHIVED:
        yield from (path for path in sorted(work.glob(pattern)) if path.is_file())


def failed_logs(work: Path) -> Iterator[Path]:
    """Yield the logs of jobs that failed or left no measurements."""
    for log in sorted(work.glob("runs/*/jobs/*/log.txt")):
        measures = log.with_name("measures.json")
        try:
            state = json.loads(measures.read_text())["state"]
        except (OSError, ValueError, KeyError):
            state = "none"
        if state not in ("ok", "unsupported"):
            yield log


def archive(work: Path, out: Path) -> Path:
    """Write `campaign.tar.gz` to `out`, completely or not at all; too large files are left out and reported."""
    out.mkdir(parents=True, exist_ok=True)
    aside = out / f"{ARCHIVE}.part"
    ends = work / "logs"
    with tarfile.open(aside, "w:gz") as packed:
        for path in archived_files(work):
            if path.stat().st_size <= LARGEST_BYTES:
                packed.add(path, path.relative_to(work))
            else:
                print(f"left out, with {path.stat().st_size / 1e6:.0f} MB: {path}", file=sys.stderr)
        for log in failed_logs(work):
            end = ends / f"{log.parents[2].name}-{log.parent.name}.txt"
            end.parent.mkdir(exist_ok=True)
            end.write_bytes(log.read_bytes()[-LOG_BYTES:])
            packed.add(end, end.relative_to(work))
    return aside.replace(out / ARCHIVE)


def restore(packed: Path, work: Path) -> None:
    """Unpack an earlier archive into an empty working folder, so that its finished steps are not repeated."""
    work.mkdir(parents=True, exist_ok=True)
    with tarfile.open(packed) as stored:
        stored.extractall(work, filter="data")
