"""``podlane runner health-check``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples
from podlane.cli.runner.flags import config_option
from podlane.kit.errors import UsageError

_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what the manager may listen on


@click.command(
    name="health-check",
    epilog=examples(
        "podlane runner health-check", "podlane runner health-check --listen-address 127.0.0.1:9252"
    ),
)
@config_option
@click.option(
    "--listen-address", default="", metavar="ADDRESS",
    help="Where the manager listens.  [default: listen_address of config.toml]",
)  # fmt: skip
@click.option(
    "--timeout", "seconds", type=float, default=5.0, show_default=True, metavar="SECONDS",
    help="How long to wait for the answer.",
)  # fmt: skip
def health_check(config: Path | None, listen_address: str, seconds: float) -> int:
    """Ask the manager here whether it takes jobs.

    Exits with 1 when it does not. For a container's liveness or readiness probe. The manager needs
    listen_address for it.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import registered
    from podlane.runner.listeners.listener import Address, ask_ready, parse_address

    out = output.standard()
    given = listen_address or registered.settings(config).listen_address
    if not given:
        raise UsageError(
            "the configuration has no listen_address, so there is nothing to ask",
            hint='add for example listen_address = "127.0.0.1:9252" to config.toml',
        )
    address = parse_address(given)
    if address.host in _EVERYWHERE:
        address = Address(host="localhost", port=address.port)
    ready, said = eventloop.run(ask_ready, address, seconds)
    out.note(said)
    return 0 if ready else 1
