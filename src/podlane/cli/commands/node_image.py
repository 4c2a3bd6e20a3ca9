"""``podlane node image``: the images of the embedded node."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output, places
from podlane.cli.options import examples, format_option


@click.group(name="image")
def image() -> None:
    """Images on this machine, for the embedded node."""


@image.command(
    name="build",
    epilog=examples("podlane node image build", "podlane node image build alpine helper --again"),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--again", is_flag=True, help="Build even what is up to date.")
def build(names: tuple[str, ...], *, again: bool) -> int:
    """Build the built-in images, all or those named.

    They are made from Debian packages of this machine. Names are alpine, noroot-alpine,
    noroot-debian and helper, or the full names of the images.
    """
    from podlane.cli.servers import rights
    from podlane.kit.errors import UsageError
    from podlane.node.images.build import ensure_images
    from podlane.node.images.recipes import default_recipes
    from podlane.node.images.reference import parse_reference
    from podlane.node.images.store import ImageStore

    rights.acquire()
    recipes = {recipe.name: recipe for recipe in default_recipes()}
    wanted = {}
    for name in names:
        canonical = str(parse_reference(name))
        found = [r for r in recipes.values() if r.name == name or canonical in r.names]
        if not found:
            known = ", ".join(recipes)
            raise UsageError(f"there is no recipe for {name!r}", hint=f"the recipes are: {known}")
        wanted[found[0].name] = found[0]
    out = output.standard()
    chosen = tuple(wanted.values()) or tuple(recipes.values())
    report = ensure_images(ImageStore(places.images_dir()), chosen, out.note, again=again)
    for name in (*report.built, *report.present):
        state = "built" if name in report.built else "up to date"
        out.out.line(f"{recipes[name].names[0]}  {state}")
    return 0


@image.command(name="load", epilog=examples("podlane node image load alpine.tar"))
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Call the image this, whatever the file says.")
def load(path: Path, name: str | None) -> int:
    """Load images from a file or a directory.

    PATH is a docker archive, an OCI archive or an OCI layout directory.
    """
    from podlane.cli.servers import rights
    from podlane.node.images.archive import load_archive
    from podlane.node.images.store import ImageStore

    rights.acquire()
    out = output.standard()
    for stored in load_archive(ImageStore(places.images_dir()), path, name):
        out.out.line(stored.reference)
    return 0


@image.command(
    name="save",
    epilog=examples(
        "podlane node image save helper.tar gitlab/gitlab-runner-helper:x86_64-latest",
        "podlane node image save - alpine | docker load",
    ),
)
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def save(path: Path, names: tuple[str, ...]) -> int:
    """Write images to a file, a docker archive.

    FILE may be - for the standard output. docker load, podman load and skopeo copy read it; so the
    built-in helper image gets into a registry of your own, for example.
    """
    import sys

    from podlane.cli.servers import rights
    from podlane.kit.errors import UsageError
    from podlane.node.images.export import save_images
    from podlane.node.images.store import ImageStore

    rights.acquire()
    out, store = output.standard(), ImageStore(places.images_dir())
    if str(path) == "-":
        if out.out.terminal:
            raise UsageError("an archive is nothing for a terminal", hint="give a file, or a pipe")
        save_images(store, names, sys.stdout.buffer, out.note)
        return 0
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            save_images(store, names, file, out.note)
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return 0


@image.command(
    name="list", epilog=examples("podlane node image list", "podlane node image list --format json")
)
@format_option
def list_images(output_format: str) -> int:
    """List the images on this machine."""
    from podlane.node.images.store import ImageStore

    out = output.standard()
    images = ImageStore(places.images_dir()).list()
    if output_format == "json":
        out.document(
            [
                {
                    "reference": stored.reference,
                    "digest": stored.digest,
                    "source": str(stored.source),
                    "size_bytes": stored.size_bytes,
                }
                for stored in images
            ]
        )
        return 0
    rows = [
        (
            stored.reference,
            stored.digest.removeprefix("sha256:")[:12],
            str(stored.source),
            f"{stored.size_bytes / 1e6:.1f} MB",
        )
        for stored in images
    ]
    for line in output.table(("IMAGE", "DIGEST", "SOURCE", "SIZE"), rows):
        out.out.line(line)
    return 0


@image.command(
    name="tag",
    epilog=examples("podlane node image tag alpine registry.internal/dockerhub/library/alpine"),
)
@click.argument("existing")
@click.argument("new")
def tag(existing: str, new: str) -> int:
    """Give an image a further name.

    For example the one that a mirror would have.
    """
    from podlane.node.images.store import ImageStore

    stored = ImageStore(places.images_dir()).tag(existing, new)
    output.standard().out.line(stored.reference)
    return 0


@image.command(name="rm", epilog=examples("podlane node image rm alpine"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: tuple[str, ...]) -> int:
    """Remove images by name.

    Content that nothing else uses goes too.
    """
    from podlane.cli.servers import rights
    from podlane.node.images.store import ImageStore

    rights.acquire()
    out = output.standard()
    store = ImageStore(places.images_dir())
    known = [store.remove(name) for name in names]
    for name, was_known in zip(names, known, strict=True):
        if not was_known:
            out.error(f"there is no image {name} on this machine", "podlane node image list")
    return 0 if all(known) else 1
