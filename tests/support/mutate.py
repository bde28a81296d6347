"""Changes of files, drawn at random: of their bytes, of JSON by its structure, of archives behind their checksums."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

BLOCKS = (1, 7, 64, 512, 4096)  # bytes
LENGTHS = (b"\xff\xff\xff\x7f", b"\xff" * 4, b"\xff" * 8, b"\x00" * 4, (1 << 40).to_bytes(8, "little"))
CANARY = "canary"  # a file that exists once something was executed
DEEP = 3000


class Canary:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def flip_bits(content: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 4, 32))):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def truncate(content: bytearray, random: Random) -> None:
    del content[random.randrange(len(content)) :]


def duplicate(content: bytearray, random: Random) -> None:
    start, size = random.randrange(len(content)), random.choice(BLOCKS)
    content[start:start] = content[start : start + size] * random.choice((1, 2, 50))


def drop(content: bytearray, random: Random) -> None:
    start = random.randrange(len(content))
    del content[start : start + random.choice(BLOCKS)]


def change_length(content: bytearray, random: Random) -> None:
    """Write a number where the file may state a size."""
    length, start = random.choice(LENGTHS), random.randrange(len(content))
    content[start : start + len(length)] = length


def fill(content: bytearray, random: Random) -> None:
    start, size = random.randrange(len(content)), random.choice(BLOCKS)
    content[start : start + size] = random.randbytes(size)


def splice(content: bytearray, random: Random) -> None:
    """Continue with another part of the same file."""
    content[random.randrange(len(content)) :] = content[random.randrange(len(content)) :]


CHANGES = (flip_bits, truncate, duplicate, drop, change_length, fill, splice)


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Return a file with one to three changes of its bytes."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if changed:
            random.choice(CHANGES)(changed, random)
    return bytes(changed)


def draw_json(random: Random, folder: Path) -> str:
    """Return JSON, or nearly JSON, that replaces a value."""
    elsewhere = json.dumps(str(folder / CANARY))
    return random.choice((
        "null", "true", "-1", "0", "1.5", "-0.0", "1e308", "-1e308", "1e999", "NaN", "-Infinity", "9" * 400, "1e-400",
        '""', '"text"', '"../../elsewhere"', elsewhere, '"/bin/sh"', '"=1+1"', f'"{"x" * 200_000}"', '"\\ud800"',
        '"\\u001b[2J\\u0007\\u202e\\u0000"', '"\u202e\u0085\u2028"', '"<script>alert(1)</script>|`a`"', "[]", "{}",
        "[1]", '["a", null, {}]', '{"a": 1}', "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "[NaN]", "",
        "01", "'text'", "[1,]", f"[{'1,' * 30_000}1]", '"%s%n{0}{x}"', '{"type": "Dense"}', '{"type": "__class__"}',
    ))  # fmt: skip


def mutate_json(content: bytes, random: Random, folder: Path) -> bytes:
    """Return JSON, one document a line, in which one value is replaced, one key is renamed, or two values swapped."""
    *lines, document = content.strip().splitlines() if content.startswith(b'{"') else [content]
    plain = json.loads(document)
    places = list(find_places(plain))
    if not places:
        return mutate_bytes(content, random)
    container, key = random.choice(places)
    kind, text = random.randrange(4), draw_json(random, folder)
    if kind == 0 and isinstance(container, dict):
        container[random.choice((key[:-1], "__class__", "type", "schema", "\x1b[31m"))] = container.pop(key)
    elif kind == 1:
        other, second = random.choice(places)
        container[key], other[second] = other[second], container[key]
    else:
        container[key] = "@value@"
    try:
        changed = json.dumps(plain)
    except (ValueError, RecursionError):  # it holds itself
        return b"[" * DEEP
    return b"\n".join([*lines, changed.replace('"@value@"', text).encode("utf-8", "surrogatepass")]) + b"\n"


def find_places(value: Any) -> Any:
    """Yield (dict or list, key) of all values of a document; of a long list, those of its first items."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from find_places(value[key])


def mutate_archive(content: bytes, random: Random, folder: Path) -> bytes:
    """Return an archive of arrays whose members are changed, while its checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name, kind = random.choice(list(members)), random.randrange(5)
    if kind == 0:
        members[name] = members[random.choice(list(members))]
    elif kind == 1:
        file = io.BytesIO()
        np.save(file, np.array([Canary(folder / CANARY)], object), allow_pickle=True)
        members[name] = file.getvalue()
    elif kind == 2:
        members[name] = pickle.dumps(Canary(folder / CANARY))
    elif kind == 3:
        members[random.choice(("../../elsewhere.npy", "/elsewhere.npy", ".npy", "a\0b.npy", "\x1b[2J.npy"))] = (
            members.pop(name)
        )
    else:
        members[name] = mutate_bytes(members[name][:256], random) + members[name][256:]
    file, compression = io.BytesIO(), random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", compression) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return file.getvalue()


def mutate(name: str, content: bytes, random: Random, folder: Path) -> bytes:
    """Return a changed file; a half of the changes keep the structure that the name of the file states."""
    suffix = Path(name).suffix
    if suffix in (".json", ".jsonl") and random.random() < 0.6:
        return mutate_json(content, random, folder)
    if suffix == ".npz" and random.random() < 0.5:
        return mutate_archive(content, random, folder)
    return mutate_bytes(content, random)
