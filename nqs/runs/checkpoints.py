"""Checkpoints: complete or absent after a kill, and known to be undamaged when read.

The checkpoint of step 7 is a folder `000000007` of arrays, written by orbax, and a file
`000000007.manifest`: the folder's name, the sha256 of every file in it, the leaves of
the tree, the run it belongs to. The manifest comes last and in one atomic rename: a
folder that no manifest names was never finished.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

ANY_SHAPE: Any = type("AnyShape", (), {"__repr__": lambda self: "ANY_SHAPE"})()


class CheckpointError(Exception):
    """A checkpoint could not be written, found or used; the message says why."""


def save(directory: Path, step: int, tree: Any, *, identity: str) -> Path:
    """Write the checkpoint of a step, then keep it and the undamaged one before it.

    Later ones are deleted as well: the run has fallen back from them.

    Args:
      directory: the folder of all checkpoints of a run.
      step: the step that the tree belongs to; one already saved is replaced.
      tree: pytree of arrays (sharded ones are gathered) and Python numbers.
      identity: which run this is; `restore` refuses the checkpoints of another.

    Returns:
      The folder of the new checkpoint.

    Raises:
      CheckpointError: if it could not be written, on a full disk for instance; nothing
        of it is left, and the earlier ones are as they were.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _delete_all_but(directory, _finished(directory))
        folder = directory / f"{step:09d}"
        if folder.exists():  # it stays valid until the manifest names the other one
            folder = directory / f"{step:09d}_again"
        arrays = [np.asarray(x) for _, x in leaves]
        _check_room(directory / f"{step:09d}.unfinished", sum(x.nbytes for x in arrays))
        _write_arrays(folder, arrays)
        manifest = {
            "step": step,
            "identity": identity,
            "folder": folder.name,
            "files": _checksums(folder),
            "leaves": [_leaf(path, x) for path, x in leaves],
        }
        _write_manifest(directory / f"{step:09d}.manifest", manifest)
    except Exception as error:  # tensorstore reports a full disk as a ValueError
        with contextlib.suppress(OSError):
            _delete_all_but(directory, _finished(directory))
        intact = _newest_intact(directory, _finished(directory))
        earlier = "no earlier one" if intact is None else f"the one of step {intact}"
        raise CheckpointError(
            f"could not write the checkpoint of step {step} to {directory}: "
            f"{_reason(error)}; {earlier} is intact"
        ) from error
    before = _newest_intact(directory, [k for k in _finished(directory) if k < step])
    with contextlib.suppress(OSError):
        _delete_all_but(directory, [step] if before is None else [before, step])
    return folder


def discard(directory: Path, step: int) -> None:
    """Delete the checkpoint of a step, unless it is the first undamaged one."""
    finished = _finished(directory)
    earlier = [k for k in finished if k < step]
    if step in finished and _newest_intact(directory, earlier) is not None:
        with contextlib.suppress(OSError):
            _delete_all_but(directory, earlier)


def restore(
    directory: Path, like: Any, *, identity: str, warn: Callable[[str], None]
) -> tuple[int, Any]:
    """Read the newest undamaged checkpoint.

    Args:
      directory: the folder of all checkpoints of a run.
      like: pytree of arrays, numbers, `jax.ShapeDtypeStruct` or `ANY_SHAPE`.
      identity: which run this is, as given to `save`.
      warn: receives one sentence for every damaged checkpoint passed over.

    Returns:
      The step, and a tree like `like` of NumPy arrays and numbers, as it was saved.

    Raises:
      CheckpointError: if there is no checkpoint, if all are damaged, or if the newest
        undamaged one belongs to another run or holds another tree.
    """
    damages = []
    for step in reversed(_finished(directory)):
        try:
            manifest = _verified(directory, step)
        except CheckpointError as damage:
            warn(f"the checkpoint of step {step} in {directory} is damaged: {damage}")
            damages.append(f"step {step}: {damage}")
            continue
        _check_origin(directory, manifest, like, identity)
        arrays = _read_arrays(directory / manifest["folder"], manifest["leaves"])
        wanted, treedef = jax.tree.flatten(like)
        numbers = [type(x) in (bool, int, float, complex) for x in wanted]
        pairs = zip(arrays, numbers, strict=True)
        return step, treedef.unflatten(a.item() if n else a for a, n in pairs)
    if not damages:
        raise CheckpointError(f"no checkpoint in {directory}")
    damages = "; ".join(damages)
    raise CheckpointError(f"every checkpoint in {directory} is damaged: {damages}")


def _finished(directory: Path) -> list[int]:
    """The steps that have a manifest, oldest first."""
    return sorted(int(p.stem) for p in directory.glob("*.manifest") if p.stem.isdigit())


def _newest_intact(directory: Path, steps: list[int]) -> int | None:
    for step in reversed(steps):
        with contextlib.suppress(CheckpointError):
            _verified(directory, step)
            return step
    return None


def _delete_all_but(directory: Path, steps: list[int]) -> None:
    """Delete the checkpoints of other steps and what interrupted writes have left."""
    kept = set()
    for step in steps:
        with contextlib.suppress(CheckpointError):  # a damaged manifest keeps nothing
            folder = _manifest(directory / f"{step:09d}.manifest")["folder"]
            kept |= {f"{step:09d}.manifest", folder}
    # Manifests first: none may outlive its folder if we are killed in between.
    for path in sorted(directory.iterdir(), key=Path.is_dir):
        if re.match(r"\d{9}", path.name) and path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check_room(path: Path, n_bytes: int) -> None:
    """Raise OSError if the disk, a quota or a limit leaves no room for the arrays.

    orbax also raises then, but its other threads go on writing, and print tracebacks.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes + 2**20)  # 1 MB for metadata
        path.unlink()


def _write_arrays(folder: Path, arrays: list[np.ndarray]) -> None:
    # orbax refuses empty arrays, whose shapes the manifest knows, and empty trees.
    tree = {str(i): x for i, x in enumerate(arrays) if x.size}
    tree["n"] = np.asarray(len(arrays))
    with _orbax() as (checkpointer, args):
        checkpointer.save(folder.absolute(), args=args.StandardSave(tree))


def _read_arrays(folder: Path, leaves: list) -> list[np.ndarray]:
    arrays = [np.empty(shape, dtype) for _, shape, dtype in leaves]
    tree = {str(i): x for i, x in enumerate(arrays) if x.size}
    tree["n"] = np.asarray(len(arrays))
    with _orbax() as (checkpointer, args):
        tree = checkpointer.restore(folder.absolute(), args=args.StandardRestore(tree))
    return [tree.get(str(i), empty) for i, empty in enumerate(arrays)]


@contextlib.contextmanager
def _orbax() -> Iterator[tuple[Any, Any]]:
    """A checkpointer that blocks and keeps quiet, and its module of arguments."""
    with warnings.catch_warnings(action="ignore"):
        import orbax.checkpoint as ocp  # takes half a second

        logger = logging.getLogger("absl")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
                yield checkpointer, ocp.args
        finally:
            logger.setLevel(level)


def _checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file in a folder, all of it safe on the disk."""
    paths = sorted(folder.rglob("*"))
    for path in [*paths, folder, folder.parent]:
        _sync(path)
    return {str(p.relative_to(folder)): _sha256(p) for p in paths if p.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_manifest(path: Path, manifest: dict) -> None:
    """Write a manifest behind a line with its own checksum."""
    text = json.dumps(manifest).encode()
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    _sync(unfinished)
    os.replace(unfinished, path)
    _sync(path.parent)


def _manifest(path: Path) -> dict:
    """What a manifest says; CheckpointError if it is damaged."""
    expected, _, text = path.read_bytes().partition(b"\n")
    _compare(path.name, hashlib.sha256(text).hexdigest(), expected.decode("latin-1"))
    return json.loads(text)


def _verified(directory: Path, step: int) -> dict:
    """The manifest of an undamaged checkpoint; CheckpointError names the damage."""
    name = f"{step:09d}.manifest"
    try:
        manifest = _manifest(directory / name)
        for file, expected in manifest["files"].items():
            name = f"{manifest['folder']}/{file}"
            _compare(name, _sha256(directory / name), expected)
    except OSError as error:
        raise CheckpointError(f"file {name}: {_reason(error)}") from error
    return manifest


def _compare(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise CheckpointError(
            f"file {name} has checksum {found[:12]}..., expected {expected[:12]}..."
        )


def _check_origin(directory: Path, manifest: dict, like: Any, identity: str) -> None:
    """Raise CheckpointError unless the same run has saved a tree with these leaves."""
    name = f"the checkpoint of step {manifest['step']} in {directory}"
    if manifest["identity"] != identity:
        raise CheckpointError(
            f"{name} belongs to another run: it is of {manifest['identity']!r}, "
            f"this run is {identity!r}"
        )
    wanted = [
        _leaf(path, x) for path, x in jax.tree_util.tree_flatten_with_path(like)[0]
    ]
    leaves = itertools.zip_longest(manifest["leaves"], wanted, fillvalue=["nothing"])
    for saved, here in leaves:
        if saved != here and here != [saved[0], ANY_SHAPE]:
            raise CheckpointError(
                f"{name} does not fit this run: it holds {' '.join(map(str, saved))} "
                f"where this run has {' '.join(map(str, here))}"
            )


def _leaf(path: Any, x: Any) -> list:
    """Path, shape and dtype of a leaf, as JSON has them."""
    if x is ANY_SHAPE:
        return [jax.tree_util.keystr(path), ANY_SHAPE]
    x = x if hasattr(x, "dtype") else np.asarray(x)
    return [jax.tree_util.keystr(path), list(x.shape), str(x.dtype)]


def _reason(error: BaseException) -> str:
    """What the operating system said, also from inside an exception of tensorstore."""
    if code := re.search(r"os_error_code='(\d+)'", str(error)):
        return os.strerror(int(code[1]))
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
