"""What a remote says of the server."""

from __future__ import annotations

import pytest

from podlane.compiler.facts import server_of


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("git@gitlab.com:g/p.git", ("https://gitlab.com", "g/p")),
        ("ssh://git@host:2222/g/s/p.git", ("https://host", "g/s/p")),
        ("https://user:secret@host/g/p", ("https://host", "g/p")),
        ("http://host:8080/g/p.git/", ("http://host:8080", "g/p")),
    ],
)
def test_the_server_is_read_from_the_remote(remote: str, expected: tuple[str, str]) -> None:
    server = server_of(remote)
    assert server is not None
    assert (server.url, server.path) == expected


@pytest.mark.parametrize("remote", ["", "/srv/git/p.git", "file:///srv/p.git", "../p"])
def test_a_remote_on_this_machine_names_no_server(remote: str) -> None:
    assert server_of(remote) is None
