"""Build the default images when they are missing or their inputs have changed.

The check when all is present reads a stamp: one stat of dpkg's database and of each helper module.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.names import random_suffix
from podlane.node.images import helper_files, packages
from podlane.node.images.config import ImageSource, encode_document
from podlane.node.images.layerstore import layer_name, locked, store_errors_explained
from podlane.node.images.recipes import VERSION, Recipe, default_recipes
from podlane.node.images.store import ImageRecord, ImageStore
from podlane.node.images.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What was built now, and what was up to date; names of recipes."""

    built: tuple[str, ...] = ()
    present: tuple[str, ...] = ()


class _Stamp(msgspec.Struct, frozen=True):
    stamp: str = ""
    inputs: dict[str, str] = {}


Progress = Callable[[str], None]


def ensure_images(
    store: ImageStore,
    recipes: tuple[Recipe, ...] | None = None,
    progress: Progress = lambda _: None,
    *,
    again: bool = False,
) -> BuildReport:
    """Build those of ``recipes`` (default: all) that are missing or out of date.

    Blocks, for seconds when something is built: call it in a thread. ``progress`` gets a line for
    each image that is built. ``again`` builds even what is up to date.

    Raises:
        MissingPackagesError: names the packages, and apt-get's command in the hint.
        PermanentError: the disk is full, or a package is broken.
    """
    wanted = default_recipes() if recipes is None else recipes
    stamp = _quick_stamp(wanted)
    if not again and _up_to_date(store, wanted, stamp):
        return BuildReport(present=tuple(recipe.name for recipe in wanted))
    with store_errors_explained(store.root), _building(store):
        if not again and _up_to_date(store, wanted, stamp):
            return BuildReport(present=tuple(recipe.name for recipe in wanted))
        return _build_missing(store, wanted, stamp, progress, again=again)


@contextlib.contextmanager
def _building(store: ImageStore) -> Iterator[None]:
    """Build alone: whoever waits finds the images ready."""
    store.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(store.root / "build.lock", fcntl.LOCK_EX):
        yield


def _build_missing(
    store: ImageStore, wanted: tuple[Recipe, ...], stamp: str, progress: Progress, *, again: bool
) -> BuildReport:
    known = packages.versions(tuple({name for recipe in wanted for name in recipe.inputs}))
    missing = {name: recipe for recipe in wanted for name in recipe.required if name not in known}
    if missing:
        images = ", ".join(dict.fromkeys(recipe.name for recipe in missing.values()))
        raise packages.MissingPackagesError(tuple(sorted(missing)), images)
    inputs = dict(_read_stamp(store).inputs)
    built, present = [], []
    for recipe in wanted:
        digest = _inputs_digest(recipe, known)
        if not again and inputs.get(recipe.name) == digest and _all_names(store, recipe):
            present.append(recipe.name)
            continue
        progress(f"building image {recipe.names[0]}")
        _build(store, recipe, f"{digest}{random_suffix()}" if again else digest)
        inputs[recipe.name] = digest
        built.append(recipe.name)
    data = msgspec.json.encode(_Stamp(stamp, inputs))
    temporary = _stamp_path(store).with_suffix(".new")
    temporary.write_bytes(data)
    temporary.rename(_stamp_path(store))
    if built:
        store.prune()
    return BuildReport(built=tuple(built), present=tuple(present))


def _build(store: ImageStore, recipe: Recipe, inputs: str) -> None:
    diff_id = f"sha256:{hashlib.sha256(inputs.encode()).hexdigest()}"
    with store.layers.adding(), store.layers.scratch() as scratch:
        root = scratch / "tree"
        root.mkdir()
        root.chmod(0o755)
        tree = Tree(root)
        recipe.make(tree)
        store.layers.adopt(layer_name(diff_id), root)
        document = encode_document(recipe.config, (diff_id,), platform.machine())
        record = ImageRecord(
            digest=f"sha256:{hashlib.sha256(document).hexdigest()}",
            config=recipe.config,
            layers=(layer_name(diff_id),),
            source=ImageSource.BUILT,
            size_bytes=tree.size_bytes,
        )
        if not store.save(record, recipe.names).layers:
            raise PermanentError(f"the image {recipe.names[0]} vanished while it was stored")


def _inputs_digest(recipe: Recipe, known: dict[str, str]) -> str:
    """Return the digest of all that decides the content of the image."""
    lines = [f"{VERSION} {recipe.name} {platform.machine()} {recipe.config}"]
    lines += [f"{name} {known.get(name, '-')}" for name in recipe.inputs]
    if recipe.has_helper:
        lines.append(helper_files.source_digest())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _quick_stamp(wanted: tuple[Recipe, ...]) -> str:
    parts = [str(VERSION), packages.status_stamp()]
    parts += [f"{recipe.name}={recipe.names}={recipe.config}" for recipe in wanted]
    if any(recipe.has_helper for recipe in wanted):
        parts.append(helper_files.source_stamp())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _up_to_date(store: ImageStore, wanted: tuple[Recipe, ...], stamp: str) -> bool:
    return _read_stamp(store).stamp == stamp and all(_all_names(store, r) for r in wanted)


def _all_names(store: ImageStore, recipe: Recipe) -> bool:
    return all(store.resolve(name) is not None for name in recipe.names)


def _read_stamp(store: ImageStore) -> _Stamp:
    try:
        return msgspec.json.decode(_stamp_path(store).read_bytes(), type=_Stamp)
    except (FileNotFoundError, msgspec.MsgspecError):
        return _Stamp()


def _stamp_path(store: ImageStore) -> Path:
    return store.root / "built.json"
