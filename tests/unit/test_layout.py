"""The structure of the code: rooms in order, no circle, short functions, typed borders, names that say something."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("tasks", "backends", "harness")
# The rooms of `harness/` in the order of the data. A room may import those before it.
ROOMS = (
    *("errors", "console", "files", "worker", "records", "runtimes", "machine", "plan", "launch", "parity"),
    *("analysis", "selftest", "run", "portability", "decision", "report", "cli", "api"),
)
STANDARD = set(sys.stdlib_module_names)
FRAMEWORKS = {"torch", "tensorflow", "keras", "mxnet", "jax", "flax", "optax", "orbax", "tf2onnx", "jax2onnx"}
# Packages that the harness imports in few places: module -> the files that may.
HOMES = {
    "plotly": {"report/page/plotly_panels.py"},
    "pyarrow": {"records/parquet.py"},
    "onnxruntime": {
        "run/onnx_checker.py",
        "portability/quantize.py",
        "runtimes/onnxruntime/__init__.py",
        "runtimes/onnxruntime_cuda/__init__.py",
    },
    "cv2": {"runtimes/opencv/__init__.py"},
    "openvino": {"runtimes/openvino/__init__.py"},
    "tract": {"runtimes/tract/__init__.py"},
}
# Methods that write, remove or rename. What runs in a process of its own may call them, and `files.py`, for the rest.
WRITERS = {
    *("mkdir", "makedirs", "write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "unlink"),
    *("rename", "rmdir", "rmtree", "removedirs", "copyfile", "copytree", "copy2", "move", "savez", "truncate"),
}
FILE_MODES = re.compile("[rwxabt+]*[wxa+][rwxabt+]*")
MAY_WRITE = ("files.py", "worker/", "runtimes/", "portability/quantize.py")
LONGEST_FUNCTION = 50  # lines
MOST_ANY_DICTS = 40  # `dict[str, Any]`, in the whole repository without its tests
# Pronouns, bare participles and empty verbs, which name nothing.
NAMELESS = {
    *("one", "ones", "own", "other", "others", "said", "told", "found", "made", "shown", "held", "wanted", "what"),
    *("who", "whom", "whose", "where", "how", "place", "asked", "seen", "taken", "kept", "known", "left", "there"),
    *("here", "thing", "things", "work", "does", "examine", "carry", "spend", "settle", "ours", "theirs"),
}


def python_files(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"no code in {folder}"
    return files


SOURCES = [file for folder in FOLDERS for file in python_files(folder)]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("crossframe", *parts)).removesuffix(".__init__")


MODULES = {module_name(file): file for file in SOURCES}


@cache
def imported_modules(file: Path) -> frozenset[str]:
    """Return the modules that a file imports, at any depth of its code."""
    modules = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides where a name comes from"
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= (names & MODULES.keys()) | ({node.module} if names - MODULES.keys() else set())
    return frozenset(modules)


def packages(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_modules(file)}


def room(module: str) -> str | None:
    """Return the room of a module of the harness: `crossframe.harness.run.folder` -> `run`."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["crossframe", "harness"] and len(parts) > 2 else None


def test_rooms_import_only_rooms_before_them() -> None:
    wrong = []
    for module, file in MODULES.items():
        start = room(module)
        for target in imported_modules(file):
            end = room(target)
            if start and end and ROOMS.index(end) > ROOMS.index(start):
                wrong.append(f"{module} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_imports_have_no_circle() -> None:
    """Every module can be sorted before its importers: Kahn 1962."""
    graph = {module: set(imported_modules(file)) & MODULES.keys() - {module} for module, file in MODULES.items()}
    while leaves := {module for module, targets in graph.items() if not targets}:
        graph = {module: targets - leaves for module, targets in graph.items() if module not in leaves}
    assert not graph, f"these modules import each other in a circle: {', '.join(sorted(graph))}"


def test_every_room_has_a_place_in_the_order() -> None:
    folders = {file.relative_to(ROOT / "harness").parts[0].removesuffix(".py") for file in python_files("harness")}
    assert folders - {"__init__"} == set(ROOMS)
    assert len(list((ROOT / "harness").glob("*.py"))) <= 4, "at most four loose files at the top of harness/"


@pytest.mark.parametrize("file", python_files("tasks"), ids=module_name)
def test_tasks_import_numpy_only(file: Path) -> None:
    allowed = STANDARD | {"numpy", "crossframe"}
    if "data" in file.parts:
        allowed |= {"sklearn", "scipy", "pooch", "requests"}
    assert packages(file) <= allowed
    assert all(name.startswith("crossframe.tasks") for name in imported_modules(file) if name.startswith("crossframe"))


@pytest.mark.parametrize("file", python_files("backends"), ids=module_name)
def test_backends_import_the_spec_the_contract_and_themselves(file: Path) -> None:
    same = f"crossframe.backends.{file.parent.name}" if file.parent.name != "backends" else "crossframe.backends"
    for name in imported_modules(file):
        if name.startswith("crossframe."):
            assert name.startswith(("crossframe.tasks.spec", "crossframe.backends.contract", same)), name


@pytest.mark.parametrize("file", python_files("harness"), ids=module_name)
def test_the_harness_names_no_framework(file: Path) -> None:
    assert not packages(file) & FRAMEWORKS
    named = re.findall(r"\b(torch|tensorflow|mxnet|jax|keras)\b", file.read_text(), re.IGNORECASE)
    assert not named, f"{file.name} names {named}"
    # The reference model belongs to the harness; every other backend is imported by a worker, by its name.
    allowed = ("crossframe.backends.contract", "crossframe.backends.manifest", "crossframe.backends.reference")
    for name in imported_modules(file):
        assert not name.startswith("crossframe.backends.") or name.startswith(allowed), name


@pytest.mark.parametrize("file", python_files("harness/worker"), ids=module_name)
def test_workers_need_numpy_only(file: Path) -> None:
    """Follow the imports of a worker to the end: nothing but the standard library and NumPy may be needed."""
    pending, reached = [module_name(file)], set()
    while pending:
        module = pending.pop()
        if module in reached:
            continue
        reached.add(module)
        targets = imported_modules(MODULES[module])
        assert {name.partition(".")[0] for name in targets} <= STANDARD | {"numpy", "crossframe"}, module
        pending += targets & MODULES.keys()
        assert room(module) in (None, "worker"), f"{module_name(file)} reaches {module}"


@pytest.mark.parametrize("package", HOMES)
def test_heavy_packages_have_few_homes(package: str) -> None:
    users = {str(file.relative_to(ROOT / "harness")) for file in python_files("harness") if package in packages(file)}
    assert users == HOMES[package]


def find_writes(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        opens = name == "open" and any(map(FILE_MODES.fullmatch, texts))
        moves = name == "replace" and isinstance(function, ast.Attribute) and len(node.args) == 1 and not node.keywords
        if opens or moves or name in WRITERS or "O_CREAT" in ast.unparse(node):
            yield f"{file.name}, line {node.lineno}: {name}"


@pytest.mark.parametrize("file", python_files("harness"), ids=module_name)
def test_every_write_of_the_harness_goes_through_one_module(file: Path) -> None:
    if not str(file.relative_to(ROOT / "harness")).startswith(MAY_WRITE):
        assert not list(find_writes(file))


def test_no_runnable_file_lies_in_backends() -> None:
    # Run as a script, it would put backends/ first on the path, and `import torch` would find our folder.
    for file in python_files("backends"):
        assert "__main__" not in file.read_text(), file


def test_the_distribution_lists_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent for file in SOURCES if file.name == "__init__.py"} - {ROOT / "harness" / "api"}
    expected = {"crossframe"} | {module_name(folder / "__init__.py") for folder in folders}
    assert set(settings["packages"]) == expected
    assert settings["packages"] == sorted(settings["packages"])


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("file", SOURCES, ids=module_name)
def test_functions_are_short(file: Path) -> None:
    long = [f"{node.name}: {size} lines" for node in functions(file) if (size := length(node)) > LONGEST_FUNCTION]
    assert not long, long


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_dicts_of_anything_are_few() -> None:
    counts = {module: file.read_text().count("dict[str, Any]") for module, file in MODULES.items()}
    listing = {module: count for module, count in counts.items() if count}
    assert sum(counts.values()) < MOST_ANY_DICTS, listing


def signature_types(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
    types = [*(each.annotation for each in arguments), node.returns]
    return " ".join(ast.unparse(kind) for kind in types if kind)


def test_no_dict_of_anything_crosses_a_room() -> None:
    untyped = {
        (module, node.name)
        for module, file in MODULES.items()
        for node in functions(file)
        if "dict[str, Any]" in signature_types(node)
    }
    crossing = [
        f"{importer} imports {module}.{name}"
        for importer, file in MODULES.items()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ImportFrom)
        for module, name in untyped & {(str(node.module), alias.name) for alias in node.names}
        if room(importer) != room(module)
    ]
    assert not crossing, crossing


@pytest.mark.parametrize("file", SOURCES, ids=module_name)
def test_names_say_something(file: Path) -> None:
    """Functions, parameters and files are named by a noun or a verb of the field, never by a pronoun or participle."""
    names = {file.stem}
    for node in functions(file):
        names |= {node.name} | {each.arg for each in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs)}
    assert not names & NAMELESS
