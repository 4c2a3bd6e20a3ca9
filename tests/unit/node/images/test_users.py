"""USER of an image, by its own files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podlane.kit.errors import PermanentError
from podlane.node.images.lookup import read_image_file
from podlane.node.images.users import lookup_user

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken:x\n"
GROUP = "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\ndocker:x:999:app\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", (0, 0, (10,))),
        ("app", (1000, 1001, (10, 999))),
        ("1000", (1000, 1001, (10, 999))),
        ("app:wheel", (1000, 10, ())),
        ("app:5", (1000, 5, ())),
        ("4711", (4711, 0, ())),
        ("4711:4712", (4711, 4712, ())),
        ("app:", (1000, 1001, (10, 999))),
    ],
)
def test_user_resolves_as_runc_does(user: str, expected: tuple[int, int, tuple[int, ...]]) -> None:
    found = lookup_user(user, PASSWD, GROUP)
    assert (found.uid, found.gid, found.supplementary) == expected


@pytest.mark.parametrize(("user", "word"), [("nobody", "user"), ("app:nogroup", "group")])
def test_an_unknown_name_is_an_error_that_names_it(user: str, word: str) -> None:
    with pytest.raises(PermanentError, match=f"unable to find {word}"):
        lookup_user(user, PASSWD, GROUP)


def test_the_top_layer_wins_and_links_stay_inside_the_image(tmp_path: Path) -> None:
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    (bottom / "etc").mkdir(parents=True)
    (bottom / "etc/passwd").write_text("bottom")
    (bottom / "etc/group").write_text("bottom")
    (bottom / "data").write_text("data")
    (top / "etc").mkdir(parents=True)
    (top / "etc/passwd").write_text("top")
    (top / "etc/link").symlink_to("/../../data")
    (top / "etc/loop").symlink_to("loop")
    layers = (top, bottom)
    assert read_image_file(layers, "/etc/passwd") == b"top"
    assert read_image_file(layers, "/etc/group") == b"bottom"
    assert read_image_file(layers, "/etc/link") == b"data"
    assert read_image_file(layers, "/etc/loop") is None
    assert read_image_file(layers, "/etc") is None
    assert read_image_file(layers, "/missing/x") is None


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are device nodes")
def test_a_whiteout_and_an_opaque_directory_hide_what_is_below(tmp_path: Path) -> None:
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    for path in ("etc/passwd", "opt/x"):
        (bottom / path).parent.mkdir(parents=True)
        (bottom / path).write_text("below")
    (top / "etc").mkdir(parents=True)
    os.mknod(top / "etc/passwd", 0o020000, os.makedev(0, 0))
    (top / "opt").mkdir()
    os.setxattr(top / "opt", "trusted.overlay.opaque", b"y")
    assert read_image_file((top, bottom), "/etc/passwd") is None
    assert read_image_file((top, bottom), "/opt/x") is None
