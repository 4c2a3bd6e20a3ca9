"""The key that signs ID tokens, and what verifies them: RS256 by the ``openssl`` command.

The key is made when a token or the public key is first asked for, and stays in the data directory,
readable by its owner only. Source: RFC 7515, RFC 7517 and RFC 7638.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.names import random_suffix
from podlane.kit.tasks import closing

_SECONDS = 30.0
_CLEAN_UP_SECONDS = 5.0
_BITS = 2048
_EXPONENT = 65537  # what openssl takes unless told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An RSA key as a JWK has it: base64url without padding, big-endian."""

    modulus: str
    exponent: str

    @property
    def key_id(self) -> str:
        """The thumbprint of RFC 7638."""
        members = {"e": self.exponent, "kty": "RSA", "n": self.modulus}
        text = json.dumps(members, separators=(",", ":"), sort_keys=True)
        return _base64url(hashlib.sha256(text.encode()).digest())

    def jwk(self) -> JsonObject:
        """Return the key as a JSON Web Key."""
        return {
            "kty": "RSA", "kid": self.key_id, "e": self.exponent, "n": self.modulus, "use": "sig",
            "alg": "RS256",
        }  # fmt: skip


class Signer:
    """The key of one coordinator. Safe to ask from several tasks."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "id-token-key.pem"
        self._making = anyio.Lock()
        self._known: PublicKey | None = None

    async def public_key(self) -> PublicKey:
        """Return the key that verifies tokens.

        Raises:
            PermanentError: there is no ``openssl`` command, or it failed.
        """
        async with self._making:
            if self._known is None:
                if not await anyio.Path(self._path).exists():
                    await self._make()
                said = await _openssl("rsa", "-in", str(self._path), "-noout", "-modulus")
                digits = said.decode("ascii", "replace").strip().rpartition("=")[2]
                self._known = PublicKey(
                    modulus=_base64url(_bytes(int(digits, 16))),
                    exponent=_base64url(_bytes(_EXPONENT)),
                )
            return self._known

    async def sign(self, claims: JsonObject) -> str:
        """Return the claims as a signed token.

        Raises:
            PermanentError: as ``public_key``.
        """
        key = await self.public_key()
        header = {"alg": "RS256", "kid": key.key_id, "typ": "JWT"}
        parts = (_base64url(msgspec.json.encode(part)) for part in (header, claims))
        text = ".".join(parts)
        signature = await _openssl(
            "dgst", "-sha256", "-sign", str(self._path), given=text.encode("ascii")
        )
        return f"{text}.{_base64url(signature)}"

    async def _make(self) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{random_suffix()}")
        try:
            # The file is there, and private, before the key is in it.
            await anyio.to_thread.run_sync(_create, temporary)
            await _openssl(
                "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{_BITS}", "-out",
                str(temporary),
            )  # fmt: skip
            await anyio.to_thread.run_sync(temporary.replace, self._path)
        except OSError as error:
            raise PermanentError(
                f"ID tokens cannot be signed: no key can be made in {self._path.parent}: "
                f"{error.strerror or error}"
            ) from error
        finally:
            with closing(_CLEAN_UP_SECONDS):
                await anyio.Path(temporary).unlink(missing_ok=True)


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


async def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    command = shutil.which("openssl")
    if command is None:
        raise PermanentError(
            "ID tokens cannot be signed: there is no openssl command",
            hint="install it, for example with: apt-get install openssl",
        )
    try:
        with anyio.fail_after(_SECONDS):
            done = await anyio.run_process([command, *arguments], input=given, check=False)
    except TimeoutError as error:
        raise PermanentError(
            f"ID tokens cannot be signed: openssl {arguments[0]} did not end within {_SECONDS:.0f} s"
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else "nothing"
        raise PermanentError(
            f"ID tokens cannot be signed: openssl {arguments[0]} said: {why}",
            hint="a damaged id-token-key.pem in the data directory may be removed; a new one is made",
        )
    return done.stdout


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
