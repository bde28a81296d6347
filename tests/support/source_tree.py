"""An import path for a source tree that is not installed: `python tests/support/source_tree.py FOLDER`.

The folders at the top become packages below `crossframe`, as `package-dir` in pyproject.toml maps them. Standard
library only, since it runs before anything is installed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def link_packages(folder: Path) -> Path:
    """Fill a folder with links to the packages of the tree and to its tests, and return it."""
    package = folder / "crossframe"
    package.mkdir(parents=True, exist_ok=True)
    files = sorted((ROOT / "harness" / "api").glob("*.py"))
    targets = {
        package / path.name: path for path in (*(ROOT / name for name in ("tasks", "backends", "harness")), *files)
    }
    for link, target in {**targets, folder / "tests": ROOT / "tests"}.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return folder


if __name__ == "__main__":
    link_packages(Path(sys.argv[1]))
