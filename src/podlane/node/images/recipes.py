"""The images that we build ourselves, from the files of Debian packages of this machine.

No registry, no network, no maintainer scripts: files are copied into a layer. Each recipe names the
packages that it copies from; their versions (and our helper's source) decide when to build again.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from podlane.kit.errors import PermanentError
from podlane.node.images import elf, helper_files, packages
from podlane.node.images.config import ImageConfig
from podlane.node.images.tree import Tree

VERSION = 3  # a new number builds everything anew
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UID = 1000
_TIMEOUT_SECONDS = 60

BUSYBOX_PACKAGES = ("busybox-static",)
DEBIAN_PACKAGES = (
    "base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg",
    "findutils", "grep", "gzip", "hostname", "libc-bin", "libc6", "login", "mawk", "mount",
    "ncurses-base", "ncurses-bin", "passwd", "perl-base", "procps", "sed", "tar", "tzdata",
    "util-linux",
)  # fmt: skip
_DEBIAN_NEEDED = ("base-files", "bash", "coreutils", "dash", "grep", "libc-bin", "libc6", "sed")
HELPER_PACKAGES = ("busybox-static", "git", "ca-certificates", "python3", "bash")
_HELPER_EXTRAS = ("git-lfs", "libc-bin", "libc6", "libgcc-s1")

_USELESS = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info",
            "/usr/share/lintian", "/usr/share/bug", "/usr/share/bash-completion", "/etc/cron",
            "/etc/init.d", "/lib/systemd", "/usr/lib/systemd", "/usr/share/gitweb",
            "/usr/share/menu", "/lib/init", "/etc/systemd")  # fmt: skip
# What git-lfs's package does when it is installed; without it, a pull leaves the pointers.
_LFS_CONFIG = """\
[filter "lfs"]
\tclean = git-lfs clean -- %f
\tsmudge = git-lfs smudge -- %f
\tprocess = git-lfs filter-process
\trequired = true
"""
_GIT_UNUSED = frozenset({
    "git-http-push", "scalar", "git-imap-send", "git-http-fetch", "git-daemon", "git-shell",
    "git-http-backend", "git-send-email", "git-instaweb",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make one image. ``required`` packages must be installed; ``inputs`` decide its digest."""

    name: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    inputs: tuple[str, ...]
    config: ImageConfig
    make: Callable[[Tree], None]
    has_helper: bool = False


def default_recipes() -> tuple[Recipe, ...]:
    """Return every image that a bare machine gets."""
    return (
        Recipe(
            name="alpine",
            names=("docker.io/library/alpine:latest",),
            required=BUSYBOX_PACKAGES,
            inputs=BUSYBOX_PACKAGES,
            config=ImageConfig(cmd=("/bin/sh",), env=(_PATH,)),
            make=_busybox_image,
        ),
        Recipe(
            name="noroot-alpine",
            names=("docker.io/steveazz/noroot-alpine:latest",),
            required=BUSYBOX_PACKAGES,
            inputs=BUSYBOX_PACKAGES,
            config=ImageConfig(cmd=("/bin/sh",), env=(_PATH,), user=f"{_UID}:{_UID}"),
            make=_busybox_image,
        ),
        Recipe(
            name="noroot-debian",
            names=("docker.io/steveazz/noroot-debian:latest",),
            required=_DEBIAN_NEEDED,
            inputs=DEBIAN_PACKAGES,
            config=ImageConfig(cmd=("bash",), env=(_PATH,), user="user"),
            make=_debian_image,
        ),
        Recipe(
            name="helper",
            names=helper_names(),
            required=HELPER_PACKAGES,
            inputs=(*HELPER_PACKAGES, *_HELPER_EXTRAS),
            config=ImageConfig(cmd=("/bin/sh",), env=(_PATH, "LANG=C.UTF-8")),
            make=_helper_image,
            has_helper=True,
        ),
    )


def helper_names(version: str = "latest") -> tuple[str, ...]:
    """Return the names under which GitLab publishes the helper image for this machine."""
    machine = {"aarch64": "arm64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    tag = f"{machine}-{version}"
    return (
        f"registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:{tag}",
        f"docker.io/gitlab/gitlab-runner-helper:{tag}",
    )


def _busybox_image(tree: Tree) -> None:
    _busybox(tree, "/usr/bin/busybox")
    _accounts(tree, "/bin/sh")
    version = next(iter(packages.versions(BUSYBOX_PACKAGES).values()), "")
    tree.file(
        "/etc/os-release",
        'NAME="Podlane BusyBox"\nID=busybox\n'
        f'VERSION_ID="{version}"\n'
        'PRETTY_NAME="BusyBox, made by Podlane from the package busybox-static"\n',
    )
    tree.file("/etc/profile", f"export {_PATH}\nexport PAGER=less\numask 022\n")
    tree.file("/etc/shells", "/bin/sh\n/bin/ash\n")


def _debian_image(tree: Tree) -> None:
    installed = packages.versions(DEBIAN_PACKAGES)
    for path in packages.files(tuple(installed)):
        if not path.startswith(_USELESS):
            tree.copy(path)
    for name, target in (("profile", "etc/profile"), ("dot.bashrc", "root/.bashrc"),
                         ("dot.profile", "root/.profile"),
                         ("nsswitch.conf", "etc/nsswitch.conf")):  # fmt: skip
        tree.copy(f"/usr/share/base-files/{name}", target)
    for skeleton in (".bashrc", ".profile", ".bash_logout"):
        tree.copy(f"/etc/skel/{skeleton}", f"home/user/{skeleton}")
    tree.link("/bin/sh", "dash")
    for name, program in (("awk", "mawk"), ("which", "which.debianutils")):
        if tree.has(f"/usr/bin/{program}"):  # what update-alternatives would have made
            tree.link(f"/usr/bin/{name}", program)
    _accounts(tree, "/bin/bash")
    tree.file("/var/lib/dpkg/status", packages.status_of(frozenset(installed)))
    tree.file("/etc/shells", "/bin/sh\n/bin/dash\n/bin/bash\n")
    tree.add_libraries(packages.library_directories())


def _helper_image(tree: Tree) -> None:
    _busybox(tree, helper_files.BUSYBOX)
    _accounts(tree, "/bin/sh")
    tree.copy("/usr/bin/bash")
    tree.copy("/bin/bash")
    for path in packages.files(tuple(packages.versions(("git", "git-lfs")))):
        if not path.startswith(_USELESS) and Path(path).name not in _GIT_UNUSED:
            tree.copy(path)
    if tree.has("/usr/bin/git-lfs"):
        tree.file("/etc/gitconfig", _LFS_CONFIG)
    _certificates(tree)
    helper_files.add_python(tree)
    helper_files.add_helper(tree)
    libraries = packages.library_directories()
    tree.copy_below("/usr/lib/locale/C.utf8")
    tree.copy(f"{libraries[0]}/libgcc_s.so.1")
    tree.file("/etc/os-release", 'NAME="Podlane helper"\nID=podlane-helper\n')
    tree.add_libraries(libraries)


def _busybox(tree: Tree, place: str) -> None:
    """Put the static busybox at ``place``, and a link for each applet that is not taken."""
    source = next((p for p in ("/usr/bin/busybox", "/bin/busybox") if Path(p).exists()), None)
    if source is None:
        raise packages.MissingPackagesError(BUSYBOX_PACKAGES, "busybox")
    needs = elf.read_needs(Path(source).read_bytes())
    if needs is not None and (needs.libraries or needs.interpreter):
        raise PermanentError(
            f"{source} is not a static program, so it cannot run in any image",
            hint="apt-get install -y busybox-static",
        )
    tree.copy(source, place)
    listing = subprocess.run(
        [source, "--list"], capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS
    )
    for applet in listing.stdout.split():
        if applet != "busybox":
            tree.link(f"/usr/bin/{applet}", place)
    tree.link("/usr/bin/busybox", place)


def _accounts(tree: Tree, shell: str) -> None:
    user = f"user:x:{_UID}:{_UID}:user:/home/user:{shell}\n"
    root = f"root:x:0:0:root:/root:{shell}\n"
    nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    master = Path("/usr/share/base-passwd")
    if tree.has("/usr/share/base-passwd/passwd.master"):
        lines = (master / "passwd.master").read_text().replace(":*:", ":x:").splitlines()[1:]
        tree.file("/etc/passwd", root + "".join(f"{line}\n" for line in lines) + user)
        groups = (master / "group.master").read_text().replace(":*:", ":x:")
        tree.file("/etc/group", f"{groups}user:x:{_UID}:\n")
    else:
        tree.file("/etc/passwd", root + nobody + user)
        tree.file("/etc/group", f"root:x:0:\nnogroup:x:65534:\nuser:x:{_UID}:\n")
    tree.file("/etc/shadow", "root:*:19000:0:99999:7:::\nuser:!:19000:0:99999:7:::\n", 0o640)
    tree.directory("/home/user", 0o755, _UID)
    if not tree.has("/etc/nsswitch.conf"):
        tree.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")


def _certificates(tree: Tree) -> None:
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if not bundle.exists():
        raise packages.MissingPackagesError(("ca-certificates",), "helper")
    tree.copy(str(bundle))
    tree.link("/usr/lib/ssl/certs", "/etc/ssl/certs")
    tree.link("/usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")
    tree.link("/etc/ssl/cert.pem", "certs/ca-certificates.crt")
