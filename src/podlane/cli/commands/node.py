"""``podlane node``: the embedded node as a daemon of its own."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output, places
from podlane.cli.commands.node_image import image
from podlane.cli.options import examples, format_option
from podlane.node.settings import NetworkChoice, RuntimeChoice

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the node keeps its state.  [default: node in the data directory]",
)


@click.group(name="node")
def command() -> None:
    """Run the embedded node: a Kubernetes of one machine, without a cluster.

    "podlane run" uses the node that runs here, or starts a private one for each run.
    """


command.add_command(image)


@command.command(
    name="start",
    epilog=examples(
        "podlane node start",
        'export KUBECONFIG="$(podlane node kubeconfig)" && kubectl get pods -A',
        "podlane node start --foreground --port 6443",
    ),
)
@state_dir_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the API; 0: any.")
@click.option(
    "--network",
    type=click.Choice(["auto", "none", "nat", "host"]),
    default="auto",
    show_default=True,
    help="How pods reach the outside.",
)
@click.option(
    "--runtime",
    type=click.Choice(["auto", "crun", "runc"]),
    default="auto",
    show_default=True,
    help="Which OCI runtime runs the containers.",
)
@click.option("--foreground", is_flag=True, help="Stay in the foreground until interrupted.")
def start(
    state_dir: Path | None,
    port: int,
    network: NetworkChoice,
    runtime: RuntimeChoice,
    *,
    foreground: bool,
) -> int:
    """Start the node and wait until it is ready."""
    from podlane.cli.servers import daemon

    out = output.standard()
    folder = (state_dir or places.node_dir()).absolute()
    if foreground:
        from podlane.cli.servers import node

        node.serve(folder, port=port, network=network, runtime=runtime)
        return 0
    found = daemon.running(folder)
    if found is None:
        options = ["--state-dir", str(folder), "--port", str(port), "--network", network]
        found = daemon.start(
            folder, ["node", "start", "--foreground", *options, "--runtime", runtime]
        )
        out.out.line(f"node started: {found.url} (process {found.pid})")
    else:
        out.out.line(f"node is running: {found.url} (process {found.pid})")
    out.out.line(f'export KUBECONFIG="{found.kubeconfig}"')
    return 0


@command.command(name="stop", epilog=examples("podlane node stop"))
@state_dir_option
def stop(state_dir: Path | None) -> int:
    """Stop the node and everything that runs on it."""
    from podlane.cli.servers import daemon

    stopped = daemon.stop((state_dir or places.node_dir()).absolute())
    output.standard().out.line("node stopped" if stopped else "no node was running")
    return 0


@command.command(
    name="status", epilog=examples("podlane node status", "podlane node status --format json")
)
@state_dir_option
@format_option
def status(state_dir: Path | None, output_format: str) -> int:
    """Say whether the node runs, where, and how many pods it has. Exits with 1 when it does not."""
    from podlane.cli.servers import daemon

    out = output.standard()
    folder = (state_dir or places.node_dir()).absolute()
    found = daemon.running(folder)
    if found is None:
        if output_format == "json":
            out.document({"running": False, "state_dir": str(folder)})
        else:
            out.out.line(f"no node is running (state directory {folder})")
        return 1
    from podlane.cli.servers import node

    pods = node.count_pods(Path(found.kubeconfig))
    if output_format == "json":
        out.document(
            {
                "running": True,
                "state_dir": str(folder),
                "pid": found.pid,
                "url": found.url,
                "kubeconfig": found.kubeconfig,
                "pods": pods,
            }
        )
    else:
        out.out.line(f"node is running: {found.url} (process {found.pid}), {pods} pods")
    return 0


@command.command(
    name="kubeconfig", epilog=examples('kubectl --kubeconfig "$(podlane node kubeconfig)" get pods')
)
@state_dir_option
def kubeconfig(state_dir: Path | None) -> int:
    """Print the path of the running node's kubeconfig."""
    from podlane.cli.servers import daemon
    from podlane.kit.errors import PermanentError

    folder = (state_dir or places.node_dir()).absolute()
    found = daemon.running(folder)
    if found is None:
        raise PermanentError(
            f"no node is running (state directory {folder})", hint="podlane node start"
        )
    output.standard().out.line(found.kubeconfig)
    return 0
