"""The changes of a folder during a command, and the states in which a crash may leave the disk.

As POSIX has it, only what was synchronized is on the disk: the content of a file after `fsync` of the file, a name
after `fsync` of its folder. Of the later changes any part may be there, and the last write may be torn.
"""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.system_calls import CALLS

SEEN_CALLS = frozenset(CALLS) - {"read", "write"}  # a crash between two writes is one that tears the second
RANDOM_PARTS = 4  # of the changes that are not synchronized, at each moment


class Node(NamedTuple):
    """A file, a link or a folder; a folder has no content, and the content of a link is its target."""

    number: int  # of the inode
    kind: str
    content: bytes


@dataclass(frozen=True)
class Change:
    """A name that was made or removed (`node` is None), or the new content of a file (`path` is empty)."""

    path: str
    node: Node | None
    source: str = ""  # the former name, if the change renamed a file


@dataclass(frozen=True)
class Sync:
    """The content of a file, or the names in a folder, is on the disk."""

    number: int
    path: str


@dataclass(frozen=True)
class Promise:
    """The harness went on, so these lines of records must never be lost."""

    lines: tuple[bytes, ...]


Step = Change | Sync | Promise
Tree = dict[str, Node]  # path -> node; a folder comes before what is in it


@dataclass
class Recorder:
    """The steps of what happens below a folder, by whatever process."""

    root: Path
    steps: list[Step] = field(default_factory=list)
    tree: Tree = field(default_factory=dict)
    known: dict[tuple[int, ...], bytes] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)  # a number of our own for each inode, which is used again
    last_number: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call, and note what has changed before and after it."""
        if call not in SEEN_CALLS:
            return action(*arguments)
        with self.lock:
            self.observe()
            result = action(*arguments)
            self.observe()
            if call == "fsync":
                path = Path(os.readlink(f"/proc/self/fd/{arguments[0]}"))  # noqa: PTH115
                number = self.numbers.get(os.fstat(arguments[0]).st_ino, 0)
                self.steps.append(Sync(number, name_below(path, self.root)))
        return result

    def observe(self) -> None:
        """Note what has changed since the last time."""
        tree = read_tree(self.root, self.known)
        self.numbers = {node.number: self.number(node.number) for node in tree.values()}
        tree = {path: node._replace(number=self.numbers[node.number]) for path, node in tree.items()}
        self.steps += compare_trees(self.tree, tree)
        self.tree = tree

    def number(self, inode: int) -> int:
        """Return the number of an inode; a new one if it was free the last time."""
        if inode not in self.numbers:
            self.last_number += 1
        return self.numbers.get(inode, self.last_number)


def name_below(path: Path, root: Path) -> str:
    """Return the name of what is below a folder; that of the folder is empty."""
    return path.relative_to(root).as_posix().removeprefix(".") if path.is_relative_to(root) else str(path)


def read_tree(root: Path, known: dict[tuple[int, ...], bytes] | None = None) -> Tree:
    """Return everything below a folder; contents in `known`, by the state of the file, are not read again."""
    known = {} if known is None else known
    tree: Tree = {}
    for path in sorted(root.rglob("*")):
        try:
            status = path.lstat()
            key = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if stat.S_ISREG(status.st_mode):
                if key not in known:
                    known[key] = path.read_bytes()
                kind, content = "file", known[key]
            elif path.is_symlink():
                kind, content = "link", os.fsencode(path.readlink())
            else:
                kind, content = "folder", b""
        except FileNotFoundError:  # a worker has removed it
            continue
        tree[name_below(path, root)] = Node(status.st_ino, kind, content)
    return tree


def compare_trees(before: Tree, after: Tree) -> Iterator[Change]:
    """Yield the changes from one tree to another."""
    sources = {node.number: path for path, node in before.items() if path not in after}
    renamed = set()
    for path, node in after.items():
        former = before.get(path)
        if former is None or former.number != node.number:
            source = sources.get(node.number, "")
            renamed.add(source)
            yield Change(path, node._replace(content=b"") if node.kind == "file" else node, source)
            former = before[source] if source else None
        if node.kind == "file" and node.content != (former.content if former else b""):
            yield Change("", node)
    for path in reversed(before):
        if path not in after and path not in renamed:
            yield Change(path, None)


def is_synced_by(change: Change, sync: Sync) -> bool:
    """Return whether a change is on the disk when a later `fsync` has returned."""
    if not change.path:
        return change.node is not None and change.node.number == sync.number
    return change.path.rpartition("/")[0] == sync.path


def list_pending(steps: Sequence[Step]) -> list[int]:
    """Return the numbers of the changes that are not synchronized."""
    pending: list[int] = []
    for number, step in enumerate(steps):
        if isinstance(step, Sync):
            pending = [each for each in pending if not is_synced_by(as_change(steps[each]), step)]
        elif isinstance(step, Change):
            pending.append(number)
    return pending


def as_change(step: Step) -> Change:
    assert isinstance(step, Change)
    return step


def replay(steps: Sequence[Step], dropped: Iterable[int], torn: bytes | None = None) -> Tree:
    """Return the tree after the steps without those dropped; `torn` is what the disk has of the last write."""
    dropped, nodes, contents = frozenset(dropped), dict[str, Node](), dict[int, bytes]()
    for number, step in enumerate(steps):
        if not isinstance(step, Change) or number in dropped:
            continue
        nodes.pop(step.source, None)
        if step.node is None:
            nodes.pop(step.path, None)
        elif step.path:
            nodes[step.path] = step.node
        else:
            last = torn is not None and number == len(steps) - 1
            contents[step.node.number] = torn if last and torn is not None else step.node.content
    nodes = {path: nodes[path] for path in sorted(nodes)}
    files = ((path, node) for path, node in nodes.items() if all(is_folder(nodes, parent) for parent in parents(path)))
    return {
        path: node._replace(content=contents.get(node.number, b"")) if node.kind == "file" else node
        for path, node in files
    }


def parents(path: str) -> list[str]:
    return [str(parent) for parent in Path(path).parents if parent != Path()]


def is_folder(nodes: Tree, path: str) -> bool:
    return path in nodes and nodes[path].kind == "folder"


def find_content(steps: Sequence[Step], number: int) -> bytes:
    """Return the content of a file after the steps."""
    for step in reversed(steps):
        if isinstance(step, Change) and not step.path and step.node is not None and step.node.number == number:
            return step.node.content
    return b""


def tear(former: bytes, content: bytes) -> list[bytes]:
    """Return what may be on the disk of a write: its first part, or its length with zeros in place of the rest."""
    kept = len(former) if content.startswith(former) else 0
    middle = (kept + len(content)) // 2
    return [content[: kept + 1], content[:middle], content[:-1], content[:middle] + bytes(len(content) - middle)]


def list_trees(steps: Sequence[Step], moments: Iterable[int], seed: int = 0) -> Iterator[tuple[str, int, Tree]]:
    """Yield (title, number of steps, tree) of the states in which a crash after so many steps may leave the disk.

    Some are alike.
    """
    generator = random.Random(seed)
    for moment in moments:
        made = steps[:moment]
        pending = list_pending(made)
        parts = {"nothing dropped": [], "all dropped": pending}
        parts |= {f"{number} dropped": [number] for number in pending}
        parts |= {f"all but {number} dropped": [each for each in pending if each != number] for number in pending}
        for number in range(RANDOM_PARTS):
            parts[f"part {number} dropped"] = [each for each in pending if generator.random() < 0.5]
        for title, dropped in parts.items():
            yield f"after {moment} steps, {title}", moment, replay(made, dropped)
        last = made[-1] if made else None
        if isinstance(last, Change) and not last.path and last.node is not None:
            former = find_content(made[:-1], last.node.number)
            for number, torn in enumerate(tear(former, last.node.content)):
                yield f"after {moment} steps, torn {number}", moment, replay(made, (), torn)


def write_tree(root: Path, tree: Tree) -> None:
    """Make the files of a tree below an empty folder."""
    for name, node in tree.items():
        path = root / name
        if node.kind == "folder":
            path.mkdir()
        elif node.kind == "link":
            path.symlink_to(os.fsdecode(node.content))
        else:
            path.write_bytes(node.content)
