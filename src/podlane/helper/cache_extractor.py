"""``cache-extractor``: fetch the archive unless the local one is as new, and unpack it here.

One key has two names (itself and its hash); the newer archive of the two is taken.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, replace

from podlane.helper import cache_file, console, extract, meter, ranges, storage
from podlane.helper.cache_file import Place
from podlane.helper.flags import Flag, Values
from podlane.helper.storage import MissingObjectError, Patience, RefusedError, Transfer

FLAGS = (
    *cache_file.FLAGS,
    Flag("head-url", help="where to ask how old the archive is; presigned"),
    Flag("alternate-url", help="the archive under the other name of its key; presigned"),
    Flag("alternate-head-url", help="where to ask how old that is; presigned"),
    Flag(
        "parallel", "FF_USE_PARALLEL_CACHE_TRANSFER", switch=True, help="over several connections"
    ),
    Flag("alternate-gocloud-url", help="not supported: a bucket to be opened with keys"),
)
MISSING = "Cache file does not exist"


@dataclass(frozen=True)
class _Remote:
    """An archive that may be there; ``shown`` is its address as the trace may have it."""

    url: str
    head_url: str
    shown: str


def run(values: Values) -> int:
    """Fetch and unpack."""
    cache_file.read_env_file(values.text("env-file"))
    cache_file.refuse_gocloud(values.text("gocloud-url"))
    remotes = [
        _Remote(values.text(url), values.text(head), cache_file.shown(values.text(url), values))
        for url, head in (("url", "head-url"), ("alternate-url", "alternate-head-url"))
        if values.text(url)
    ]
    if not remotes:
        console.info(
            "No URL provided, cache will not be downloaded from shared cache server. "
            "Instead a local version of cache will be extracted."
        )
        return _unpack(_newest(values.text("file"), values.text("alternate-file")))
    with cache_file.local_place(values.text("file"), needed=False) as place:
        parts = None
        if values.flag("parallel"):
            parts = ranges.plan(values.number("chunk-size"), values.number("concurrency"))
        shown = meter.Meter.of(values, "Downloading cache")
        patience = replace(cache_file.patience(values), moved=shown.add)
        is_there = _fetch(place, remotes, patience, parts)
        shown.done()
        if not is_there:
            return _missing()
        return _unpack(place.path)


def _newest(file: str, other: str) -> str:
    if not file:
        console.fatal("Missing cache file: --file")
    made, made_other = Place(file, lasting=True).modified, Place(other, lasting=True).modified
    return other if made_other is not None and made_other > (made or 0.0) else file


def _missing() -> int:
    console.warning(MISSING)
    return 1


def _unpack(path: str) -> int:
    if not os.path.exists(path):
        return _missing()
    try:
        extract.extract(path, os.getcwd())
    except extract.UnsafeArchiveError as error:
        console.fatal(f"unpacking the cache was refused: {error}")
    except extract.DAMAGED as error:
        console.fatal(f"unpacking the cache failed: the archive is damaged: {error}")
    except OSError as error:
        where = error.filename or os.getcwd()
        console.fatal(f"unpacking the cache failed: {error.strerror or error}: {where}")
    Place(path, lasting=True).note_unpacked()
    return 0


def _fetch(
    place: Place, remotes: list[_Remote], patience: Patience, parts: ranges.Plan | None
) -> bool:
    """Bring the newest archive to the local place; False if there is none anywhere."""
    refusal: RefusedError | None = None
    for remote in _newest_first(remotes, patience):
        try:
            if _download(place, remote, patience, parts):
                return True
        except RefusedError as error:
            refusal = refusal or error
    if refusal is not None:
        console.fatal(f"downloading the cache failed: {refusal}")
    return False


def _get(
    url: str, transfer: Transfer, patience: Patience, parts: ranges.Plan | None,
    newer_than: float | None,
) -> bool:  # fmt: skip
    if parts is None:
        return storage.get(url, transfer, patience, newer_than=newer_than)
    return ranges.get(url, transfer, patience, parts, newer_than=newer_than)


def _newest_first(remotes: list[_Remote], patience: Patience) -> list[_Remote]:
    """Order by age, as far as it can be told; what is known to be missing is left out."""
    if len(remotes) == 1:
        return remotes
    ages: list[tuple[float, _Remote]] = []
    for remote in remotes:
        try:
            age = storage.head(remote.head_url, patience) if remote.head_url else 0.0
        except MissingObjectError:
            continue
        except RefusedError:
            age = 0.0  # the download will tell
        ages.append((age, remote))
    return [remote for _, remote in sorted(ages, key=lambda found: -found[0])]


def _download(place: Place, remote: _Remote, patience: Patience, parts: ranges.Plan | None) -> bool:
    name = os.path.basename(place.path)
    partial = f"{place.path}.{os.getpid()}"
    console.info(f"Downloading {name} from {remote.shown}")
    try:
        with open(partial, "w+b") as file:
            transfer = Transfer(file)
            if not _get(remote.url, transfer, patience, parts, place.modified):
                console.info(f"{name} is up to date")
                return True
        if transfer.modified is not None:
            with contextlib.suppress(OSError, OverflowError):
                os.utime(partial, (transfer.modified, transfer.modified))
        shutil.move(partial, place.path)
    except MissingObjectError:
        return False
    except OSError as error:
        console.fatal(
            f"the cache archive {place.path} cannot be written: {error.strerror or error}"
        )
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    return True
