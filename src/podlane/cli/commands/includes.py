"""``podlane includes``: the files that a configuration includes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from podlane.cli import output
from podlane.cli.options import examples, file_option, format_option, variable_option
from podlane.cli.project.asked import pipeline_options

if TYPE_CHECKING:
    from podlane.kit.diagnostics import Diagnostic


@click.group(name="includes")
def command() -> None:
    """Included files of other projects, servers and templates.

    They are fetched by "update" only, and locked in .podlane/includes.lock: everything else works
    offline, with exactly those files.
    """


@command.command(
    name="update",
    epilog=examples(
        "podlane includes update", "podlane includes update --gitlab-url https://gitlab.example.com"
    ),
)
@file_option
@variable_option
@pipeline_options
@click.option(
    "--gitlab-url",
    metavar="URL",
    help="The server of projects, templates and components.  [default: that of origin]",
)
def update(file: Path, variables: tuple[tuple[str, str], ...], gitlab_url: str | None) -> int:
    """Fetch every included file from elsewhere, and lock what was found.

    Those of child pipelines too, but for what only a job can name.

    A token comes from GITLAB_TOKEN or from git's credential helper.
    """
    import os

    from podlane.cli import reports
    from podlane.cli.project import directory
    from podlane.cli.project.checkout import Checkout
    from podlane.cli.project.fetch import GitLabFetcher, find_token
    from podlane.cli.project.includestore import LOCK
    from podlane.compiler.facts import Server, server_of

    out = output.standard()
    here = directory.here(file)
    remote = Checkout(here.root).facts().remote_url
    url = (gitlab_url or (server_of(remote) or Server()).url).rstrip("/")
    store = here.includes()
    fetcher = GitLabFetcher(url, find_token(url, os.environ))
    before = {entry.name: entry.digest for entry in store}
    compilation, children = here.compile_all(variables, fetcher=fetcher, store=store)
    missing = [
        finding for child in children for finding in child.findings() if _is_missing(finding)
    ]
    store.save()
    for entry in store:
        old = before.get(entry.name)
        state = "new" if old is None else "unchanged" if old == entry.digest else "changed"
        out.note(f"{entry.kind} {entry.name}: {state}")
    valid = reports.show_findings(out, compilation, refuse=False) and not missing
    for finding in missing:
        out.note(reports.painted(out, finding, None))
    if list(store):
        out.note(f"locked in {LOCK}" if valid else f"what could be fetched is locked in {LOCK}")
    return 0 if valid else 2


def _is_missing(finding: Diagnostic) -> bool:
    """Whether a file of a child pipeline could not be included."""
    return finding.code in {"file", "include"}


@command.command(name="list", epilog=examples("podlane includes list --format json"))
@file_option
@format_option
def listing(file: Path, output_format: str) -> int:
    """List the locked files, and where their contents are."""
    from podlane.cli.project import directory
    from podlane.kit.jsonvalue import Json

    out = output.standard()
    store = directory.here(file).includes()
    if output_format == "json":
        shown: list[Json] = [
            {
                "kind": entry.kind,
                "location": entry.location,
                "file": entry.file,
                "ref": entry.ref,
                "sha": entry.sha,
                "digest": entry.digest,
                "content": store.place(entry),
            }
            for entry in store
        ]
        out.document(shown)
        return 0
    rows = [(e.kind, e.name, e.sha[:8], e.digest[7:19], store.place(e)) for e in store]
    for line in output.table(("KIND", "FILE", "COMMIT", "SHA-256", "CONTENT"), rows):
        out.out.line(line)
    return 0


@command.command(name="vendor", epilog=examples("podlane includes vendor"))
@file_option
def vendor(file: Path) -> int:
    """Copy the locked files into .podlane/includes.

    There they can be committed with the project, for sites without a network.
    """
    from podlane.cli.project import directory
    from podlane.compiler.context import FetchError
    from podlane.kit.errors import UsageError

    out = output.standard()
    try:
        for path in directory.here(file).includes().vendor():
            out.out.line(str(path.relative_to(Path.cwd())))
    except FetchError as error:
        raise UsageError(str(error)) from error
    return 0
