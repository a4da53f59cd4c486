"""Checkpoints: complete or absent after a kill, and verified when they are read.

The checkpoint of step 7 is one file, `000000007.npz`: the leaves of a pytree as arrays
"0", "1", ..., and "about", JSON text with the step, the identity of the run, and path,
shape and dtype of every leaf. The sha256 of all of this follows, which `np.load`
ignores. The file gets its name in one atomic rename.
"""

import contextlib
import hashlib
import io
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nqs.files.directory import RunError, replacing

ANY_SHAPE: Any = type("AnyShape", (), {"__repr__": lambda self: "ANY_SHAPE"})()
DIGEST = 64  # characters of a sha256


class CheckpointError(RunError):
    """A checkpoint could not be written, found or used; the message gives the cause."""


def save(directory: Path, step: int, tree: Any, *, identity: str) -> Path:
    """Write the checkpoint of a step; keep it and the newest undamaged one before it.

    Args:
      directory: of all checkpoints of a run.
      step: of the tree; an earlier checkpoint of this step is replaced.
      tree: pytree of arrays (sharded ones are gathered) and Python numbers.
      identity: of the run; `restore` refuses the checkpoints of another.

    Returns:
      The path of the new checkpoint.

    Raises:
      CheckpointError: if it could not be written; earlier ones are unchanged.
    """
    path = _path(directory, step)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        content = _packed(step, tree, identity)
        with replacing(path) as file:
            file.write(content)
            file.write(hashlib.sha256(content).hexdigest().encode())
    except (OSError, TypeError, ValueError) as error:
        intact = _newest_intact(directory, _steps(directory))
        earlier = "no earlier one" if intact is None else f"the one of step {intact}"
        raise CheckpointError(
            f"could not write the checkpoint of step {step} to {directory}: "
            f"{_reason(error)}; {earlier} is intact"
        ) from error
    before = _newest_intact(directory, [k for k in _steps(directory) if k < step])
    _delete_all_but(directory, [step, before])
    return path


def discard(directory: Path, step: int) -> None:
    """Delete the checkpoint of a step, if an undamaged one is before it."""
    steps = _steps(directory)
    earlier = [k for k in steps if k < step]
    if step in steps and _newest_intact(directory, earlier) is not None:
        _delete_all_but(directory, earlier)


def restore(
    directory: Path, like: Any, *, identity: str, warn: Callable[[str], None]
) -> tuple[int, Any]:
    """Read the newest undamaged checkpoint.

    Args:
      directory: of all checkpoints of a run.
      like: pytree of arrays, numbers, `jax.ShapeDtypeStruct` or `ANY_SHAPE`.
      identity: of the run, as given to `save`.
      warn: receives one sentence for every damaged checkpoint.

    Returns:
      The step, and a tree like `like` of NumPy arrays and numbers.

    Raises:
      CheckpointError: if there is no undamaged checkpoint, or if the newest of them
        belongs to another run or holds another tree.
    """
    damages = []
    for step in reversed(_steps(directory)):
        try:
            content = _verified(_path(directory, step))
        except CheckpointError as damage:
            warn(f"the checkpoint of step {step} in {directory} is damaged: {damage}")
            damages.append(f"step {step}: {damage}")
        else:
            return step, _unpacked(content, like, identity, directory)
    if not damages:
        raise CheckpointError(_absent(directory))
    damages = "; ".join(damages)
    raise CheckpointError(f"every checkpoint in {directory} is damaged: {damages}")


def leaves(directory: Path) -> dict[str, np.ndarray]:
    """The newest undamaged checkpoint, every leaf by its path in the tree.

    Raises:
      CheckpointError: if there is none.
    """
    step = _newest_intact(directory, _steps(directory))
    if step is None:
        raise CheckpointError(_absent(directory))
    with np.load(io.BytesIO(_verified(_path(directory, step)))) as file:
        described = json.loads(str(file["about"]))["leaves"]
        return {
            path: file[str(i)].view(np.dtype(dtype))
            for i, (path, _, dtype) in enumerate(described)
        }


def exists(directory: Path) -> bool:
    """Whether there is a checkpoint, damaged or not."""
    return bool(_steps(directory))


def _path(directory: Path, step: int) -> Path:
    return directory / f"{step:09d}.npz"


def _steps(directory: Path) -> list[int]:
    """Steps with a checkpoint, oldest first."""
    paths = directory.glob("*.npz")
    return sorted(int(path.stem) for path in paths if re.fullmatch(r"\d{9}", path.stem))


def _newest_intact(directory: Path, steps: list[int]) -> int | None:
    for step in reversed(steps):
        with contextlib.suppress(CheckpointError):
            _verified(_path(directory, step))
            return step
    return None


def _absent(directory: Path) -> str:
    """A sentence about a directory without a checkpoint that can be read."""
    if not _steps(directory) and any(directory.glob("*/_CHECKPOINT_METADATA")):
        return f"{directory} holds checkpoints of Orbax, written by an older version"
    return f"{directory} holds no undamaged checkpoint"


def _delete_all_but(directory: Path, steps: list[int | None] | list[int]) -> None:
    """Delete other checkpoints, later ones too, and files of interrupted writes."""
    kept = {f"{step:09d}.npz" for step in steps if step is not None}
    for path in directory.iterdir():
        if re.fullmatch(r"\d{9}\.npz(\.tmp)?", path.name) and path.name not in kept:
            with contextlib.suppress(OSError):
                path.unlink()


def _packed(step: int, tree: Any, identity: str) -> bytes:
    about = {"step": step, "identity": identity, "leaves": _described(tree)}
    leaves = enumerate(jax.tree.leaves(tree))
    arrays: dict[str, Any] = {str(i): np.asarray(x) for i, x in leaves}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, about=np.asarray(json.dumps(about)), **arrays)
    return file.getvalue()


def _unpacked(content: bytes, like: Any, identity: str, directory: Path) -> Any:
    with np.load(io.BytesIO(content)) as file:
        about = json.loads(str(file["about"]))
        _check_origin(directory, about, like, identity)
        arrays = [
            file[str(i)].view(np.dtype(dtype))  # extended dtypes are stored as bytes
            for i, (_, _, dtype) in enumerate(about["leaves"])
        ]
    wanted, treedef = jax.tree.flatten(like)
    numbers = [type(x) in (bool, int, float, complex) for x in wanted]
    pairs = zip(arrays, numbers, strict=True)
    return treedef.unflatten(a.item() if n else a for a, n in pairs)


def _verified(path: Path) -> bytes:
    """The content of an undamaged checkpoint; CheckpointError names the damage."""
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"file {path.name}: {_reason(error)}") from error
    content, expected = whole[:-DIGEST], whole[-DIGEST:].decode("latin-1")
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CheckpointError(
            f"file {path.name} has checksum {found[:12]}..., "
            f"expected {expected[:12]!r}..."
        )
    return content


def _check_origin(directory: Path, about: dict, like: Any, identity: str) -> None:
    """Raise CheckpointError unless the same run has saved a tree with these leaves."""
    name = f"the checkpoint of step {about['step']} in {directory}"
    if about["identity"] != identity:
        raise CheckpointError(
            f"{name} belongs to another run: it is of {about['identity']!r}, "
            f"this run is {identity!r}"
        )
    pairs = itertools.zip_longest(
        about["leaves"], _described(like), fillvalue=["nothing"]
    )
    for saved, here in pairs:
        if saved != here and here != [saved[0], ANY_SHAPE]:
            raise CheckpointError(
                f"{name} does not fit this run: it holds {' '.join(map(str, saved))} "
                f"where this run has {' '.join(map(str, here))}"
            )


def _described(tree: Any) -> list[list]:
    """Path, shape and dtype of every leaf, as JSON has them."""
    described = []
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path)
        x = x if hasattr(x, "dtype") or x is ANY_SHAPE else np.asarray(x)
        form = [x] if x is ANY_SHAPE else [list(x.shape), str(x.dtype)]
        described.append([name, *form])
    return described


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
