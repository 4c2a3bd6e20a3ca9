"""``cache-archiver``: pack the selected files into the local archive, and upload it.

Nothing selected makes no archive; an archive newer than all files is not made again.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace

from podlane.helper import archive, cache_file, console, extract, meter, storage
from podlane.helper.cache_file import Place
from podlane.helper.flags import Flag, Values, expand
from podlane.helper.selection import Selection
from podlane.helper.storage import Content, MissingObjectError, Patience, RefusedError

FLAGS = (
    *cache_file.FLAGS,
    Flag("path", help="a pattern relative to the working directory; may be repeated"),
    Flag("exclude", help="a pattern of what to leave out; may be repeated"),
    Flag("untracked", switch=True, help="add what git does not track"),
    Flag("verbose", switch=True, help="list the files"),
    Flag("check-url", help="where to ask whether the archive is there already; presigned"),
    Flag("header", help="a header of the upload, Name: value; may be repeated"),
    Flag("metadata", "CACHE_METADATA", help="a JSON object of what to keep beside the archive"),
    Flag("compression-level", "CACHE_COMPRESSION_LEVEL", help="fastest … slowest"),
    Flag(
        "compression-format",
        "CACHE_COMPRESSION_FORMAT",
        default="zip",
        help="zip, tarzstd, zipzstd",
    ),
    Flag("max-uploaded-archive-size", "CACHE_MAX_UPLOADED_ARCHIVE_SIZE", help="in bytes; 0: any"),
)
_FORMATS = frozenset({"zip", "tarzstd", "zipzstd"})
METADATA_NAME = "metadata.json"
_OF_HTTP = frozenset({"Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection"})


def run(values: Values) -> int:
    """Select, pack, upload."""
    extra = cache_file.read_env_file(values.text("env-file"))
    cache_file.refuse_gocloud(values.text("gocloud-url"))
    kind = values.text("compression-format")
    if kind not in _FORMATS:
        console.fatal(f'the cache format "{kind}" is not known; there are: zip, tarzstd, zipzstd')
    selection = Selection(
        paths=[expand(path) for path in values.all("path")],
        exclude=[expand(path) for path in values.all("exclude")],
        untracked=values.flag("untracked"),
    )
    paths = selection.collect()
    if not paths:
        console.info("No files to cache.")
        return 0
    if values.flag("verbose"):
        for path in paths:
            console.info(path)
    with cache_file.local_place(values.text("file"), needed=not values.text("url")) as place:
        patience = cache_file.patience(values)
        if _is_up_to_date(place, paths):
            console.info("Archive is up to date!")
            if not values.text("url") or _is_there(values.text("check-url"), patience):
                return 0
        else:
            _pack(place, paths, kind, archive.level(values.text("compression-level")))
            _keep_metadata(place, values.text("metadata") or extra.get("CACHE_METADATA", ""))
        _upload(place, values, patience)
    return 0


def _is_up_to_date(place: Place, paths: list[str]) -> bool:
    """Whether the archive has just these files, none of them touched since.

    Where the archive was unpacked before, that is told by when the files' status changed, which is
    this machine's clock for both; the storage's clock may differ, and knows whole seconds.
    """
    made, unpacked = place.modified, place.unpacked
    if made is None or _names(place) != {path for path in paths if path != "."}:
        return False
    try:
        if unpacked is not None:
            return all(os.lstat(path).st_ctime <= unpacked for path in paths if path != ".")
        return all(os.lstat(path).st_mtime <= made for path in paths)
    except OSError:
        return False


def _names(place: Place) -> set[str] | None:
    """Return what is in the archive; None if that would take reading it all."""
    try:
        with zipfile.ZipFile(place.path) as packed:
            return {extract.name_of(entry).rstrip("/") for entry in packed.infolist()}
    except (*extract.DAMAGED, OSError):
        return None


def _is_there(url: str, patience: Patience) -> bool:
    """Whether the storage has an archive of this key."""
    if not url:
        return False
    try:
        storage.head(url, patience)
    except (MissingObjectError, RefusedError):
        return False
    return True


def _pack(place: Place, paths: list[str], kind: str, level: int) -> None:
    """Write the archive beside its place and move it there when it is complete."""
    write = archive.writer(kind)
    partial = f"{place.path}.{os.getpid()}"
    try:
        with open(partial, "wb", buffering=1024 * 1024) as file:
            write(paths, file, level)
        os.replace(partial, place.path)
    except OSError as error:
        console.fatal(
            f"the cache archive {place.path} cannot be written: {error.strerror or error}; "
            "give the helper container more ephemeral storage, or cache less"
        )
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _keep_metadata(place: Place, text: str) -> None:
    try:
        content = json.loads(text or "{}")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        console.fatal("--metadata must be a JSON object of texts")
    name = os.path.join(os.path.dirname(place.path), METADATA_NAME)
    with open(name, "w", encoding="utf-8") as file:
        json.dump(content, file)


def _upload(place: Place, values: Values, patience: Patience) -> None:
    url = values.text("url")
    if not url:
        console.info(
            "No URL provided, cache will not be uploaded to shared cache server. "
            "Cache will be stored only locally."
        )
        return
    size, most = os.stat(place.path).st_size, values.number("max-uploaded-archive-size")
    if most and size > most:
        console.warning(
            f"Cache archive size ({size} bytes) exceeds the largest that is uploaded "
            f"({most} bytes): it is not uploaded"
        )
        return
    console.info(f"Uploading {os.path.basename(place.path)} to {cache_file.shown(url, values)}")
    shown = meter.Meter.of(values, "Uploading cache", total=size)
    content = Content(place.path, _headers(values.all("header")))
    try:
        storage.put(url, content, replace(patience, moved=shown.add))
        shown.done()
    except RefusedError as error:
        console.fatal(f"uploading the cache to {cache_file.shown(url, values)} failed: {error}")


def _headers(texts: list[str]) -> dict[str, str]:
    """Return what the storage wants to hear, under names as HTTP writes them.

    GitLab's runner passes on all that its signature covers, the host among it, and GitLab's helper
    leaves such to HTTP: said twice, they make a bad request.
    """
    headers = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            console.fatal("--header must be Name: value")
        name = "-".join(part.capitalize() for part in name.strip().split("-"))
        if name not in _OF_HTTP:
            headers[name] = value.strip()
    return headers
