"""Images for containers by pull policy; concurrent pulls of one image are one pull."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio import to_thread

from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.node.images.config import StoredImage
from podlane.node.images.reference import parse_reference
from podlane.node.images.store import ImageStore

Pull = Callable[[str, tuple[JsonObject, ...]], Awaitable[StoredImage]]
"""Fetch an image; the secrets are of type ``kubernetes.io/dockerconfigjson``."""


class InvalidNameError(PermanentError):
    """``InvalidImageName``: not a reference; trying again cannot help."""


class NeverPullError(PermanentError):
    """``ErrImageNeverPull``: not here, and the policy forbids fetching it."""


class PullError(PermanentError):
    """``ErrImagePull``: the registry or the disk said no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """An image for a container, and whether it had to be fetched."""

    image: StoredImage
    pulled: bool


class ImageSupply:
    """The images of this machine, and the way to more."""

    def __init__(self, images: ImageStore, pull: Pull) -> None:
        self._images = images
        self._pull = pull
        self._running: dict[str, anyio.Lock] = {}

    async def present(self, reference: str) -> StoredImage | None:
        """Return the image if it is on this machine.

        Raises:
            InvalidNameError: this is not a reference.
        """
        try:
            parse_reference(reference)
        except PodlaneError as error:
            raise InvalidNameError(
                f'Failed to apply default image tag "{reference}": {error.message}'
            ) from error
        return await to_thread.run_sync(self._images.resolve, reference)

    @asynccontextmanager
    async def hold(self, image: StoredImage) -> AsyncIterator[None]:
        """Keep an image's content on disk meanwhile.

        Raises:
            PullError: it was removed just now.
        """
        with ExitStack() as stack:
            try:
                await to_thread.run_sync(stack.enter_context, self._images.hold(image))
            except PodlaneError as error:
                raise PullError(error.message, hint=error.hint) from error
            yield

    async def obtain(
        self,
        reference: str,
        policy: str,
        secrets: tuple[JsonObject, ...],
        on_pull: Callable[[], None],
    ) -> Obtained:
        """Return the image, fetching it if the policy says so; ``on_pull`` is called before.

        Raises:
            InvalidNameError, NeverPullError, PullError: see there.
        """
        found = await self.present(reference)
        if found is not None and policy != "Always":
            return Obtained(image=found, pulled=False)
        if policy == "Never":
            raise NeverPullError(
                f'Container image "{reference}" is not present with pull policy of Never'
            )
        on_pull()
        lock = self._running.setdefault(reference, anyio.Lock())
        try:
            async with lock:
                if policy != "Always" and (found := await self.present(reference)) is not None:
                    return Obtained(image=found, pulled=False)
                return Obtained(image=await self._pull(reference, secrets), pulled=True)
        except PodlaneError as error:
            raise PullError(error.message, hint=error.hint) from error
        except OSError as error:
            raise PullError(f"the image could not be stored: {error}") from error
        finally:
            if not lock.locked():
                self._running.pop(reference, None)


def effective_policy(policy: str, reference: str) -> str:
    """Return the pull policy: ``Always`` for ``:latest`` or no tag, else ``IfNotPresent``."""
    if policy:
        return policy
    name, at, _ = reference.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if not at and tag in {"", "latest"} else "IfNotPresent"
