"""The settings of pip, and the options of uv that have the same effect."""

from __future__ import annotations

import ast
import subprocess
import sys

from crossframe.backends import Plugin

# Setting of pip -> option of uv. A setting may hold several values.
PIP_TO_UV = {
    "find-links": "--find-links",
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "trusted-host": "--allow-insecure-host",
}
TRUE = ("y", "yes", "t", "true", "on", "1")  # the spellings of pip


def read_pip_settings() -> dict[str, list[str]]:
    """Return the settings of pip, from its files and its environment variables, as pip itself reads them."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings: dict[str, dict[str, list[str]]] = {}
    for line in output.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if value:
            settings.setdefault(section, {})[name] = str(ast.literal_eval(value)).split()
    # The precedence of pip: the section of the command over the global one, environment variables over both.
    return settings.get("global", {}) | settings.get("install", {}) | settings.get(":env:", {})


def build_uv_options(plugin: Plugin, device_kind: str) -> list[str]:
    """Return the options with which uv finds the packages that pip would find.

    If pip is configured with package sources, they decide where a build comes from; otherwise the options in the
    manifest of the plugin apply.
    """
    settings = read_pip_settings()
    options = [
        part for name, option in PIP_TO_UV.items() for value in settings.get(name, []) for part in (option, value)
    ]
    if settings.get("no-index", [""])[0].lower() in TRUE:
        options.append("--no-index")
    # pip takes the best version of all indexes; the default of uv is the first index that has the package.
    options += ["--index-strategy", "unsafe-best-match"]
    if not settings.keys() & PIP_TO_UV.keys():
        options += plugin.manifest.install[device_kind].uv
    return options
