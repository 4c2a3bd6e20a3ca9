"""Who an image's ``USER`` is: names and numbers from the image's own passwd and group files."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.kit.errors import PermanentError
from podlane.node.images.config import StoredImage
from podlane.node.images.lookup import read_image_file

_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedUser:
    """Numbers for the runtime. ``supplementary`` does not contain ``gid``. ``home`` may be empty."""

    uid: int
    gid: int
    supplementary: tuple[int, ...] = ()
    name: str = ""
    home: str = ""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(image: StoredImage, user: str) -> ResolvedUser:
    """Return the numbers for ``user``: ``""``, ``name``, ``uid``, each with or without ``:group``.

    A number needs no entry in the files. Groups of which the user is a member are added unless a
    group is given, as runc does.

    Raises:
        PermanentError: a name that the image does not know.
    """
    passwd = read_image_file(image.layers, "/etc/passwd") or b""
    group = read_image_file(image.layers, "/etc/group") or b""
    return lookup_user(user, passwd.decode(errors="replace"), group.decode(errors="replace"))


def lookup_user(user: str, passwd: str, group: str) -> ResolvedUser:
    """Return the numbers for ``user`` by the text of both files."""
    who, colon, of_group = user.partition(":")
    accounts, groups = _accounts(passwd), _groups(group)
    account = _find_account(who or "0", accounts)
    if colon and of_group:
        return _resolved(account, _find_group(of_group, groups), ())
    member_of = tuple(
        g.gid for g in groups if account.name and account.name in g.members and g.gid != account.gid
    )
    return _resolved(account, account.gid, tuple(dict.fromkeys(member_of)))


def _resolved(account: _Account, gid: int, supplementary: tuple[int, ...]) -> ResolvedUser:
    return ResolvedUser(
        uid=account.uid,
        gid=gid,
        supplementary=supplementary,
        name=account.name,
        home=account.home,
    )


def _find_account(who: str, accounts: list[_Account]) -> _Account:
    number = _number(who)
    for account in accounts:
        if account.name == who or (number is not None and account.uid == number):
            return account
    if number is None:
        raise PermanentError(
            f'unable to find user "{who}": no matching entries in passwd file',
            hint="set runAsUser to a number, or use an image whose /etc/passwd has this user",
        )
    return _Account("", number, 0, "/root" if number == 0 else "/")


def _find_group(name: str, groups: list[_Group]) -> int:
    number = _number(name)
    for group in groups:
        if group.name == name or (number is not None and group.gid == number):
            return group.gid
    if number is None:
        raise PermanentError(
            f'unable to find group "{name}": no matching entries in group file',
            hint="set runAsGroup to a number, or use an image whose /etc/group has this group",
        )
    return number


def _number(raw: str) -> int | None:
    return int(raw) if raw.isascii() and raw.isdigit() and int(raw) <= _MAX_ID else None


def _accounts(text: str) -> list[_Account]:
    rows = (line.split(":") for line in text.splitlines())
    return [
        _Account(row[0], int(row[2]), int(row[3]), row[5])
        for row in rows
        if len(row) >= 6 and row[2].isdigit() and row[3].isdigit()  # noqa: PLR2004 - passwd(5)
    ]


def _groups(text: str) -> list[_Group]:
    rows = (line.split(":") for line in text.splitlines())
    return [
        _Group(row[0], int(row[2]), tuple(m for m in row[3].split(",") if m))
        for row in rows
        if len(row) >= 4 and row[2].isdigit()  # noqa: PLR2004 - group(5)
    ]
