"""The image of a container, by its pull policy, tried until it is there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace

import anyio

from podlane.kit.jsonvalue import JsonObject
from podlane.node.images.config import StoredImage
from podlane.node.kubelet import pulls
from podlane.node.kubelet.podspec import Container
from podlane.node.kubelet.prepare import Place
from podlane.node.kubelet.voice import Voice

_ERR_SHARE = 0.1  # of a pause shows the error itself, the rest "backing off"


async def obtain(
    place: Place,
    container: Container,
    voice: Voice,
    secrets: tuple[JsonObject, ...],
    held: AsyncExitStack,
) -> StoredImage:
    """Return the image, held until ``held`` is left; each failure is told, and tried again."""
    node, reference = place.node, container.image
    policy = pulls.effective_policy(container.image_pull_policy, reference)
    attempt = 0
    while True:
        attempt += 1
        try:
            obtained = await node.supply.obtain(
                reference,
                policy,
                secrets,
                lambda: voice.event(place, "Pulling", f'Pulling image "{reference}"'),
            )
            await held.enter_async_context(node.supply.hold(obtained.image))
        except pulls.InvalidNameError as error:
            voice.wait_with(place, "InvalidImageName", error.message)
            await anyio.sleep_forever()
        except pulls.NeverPullError as error:
            voice.wait_with(place, "ErrImageNeverPull", error.message)
            await anyio.sleep(node.delays.configure_seconds)
        except pulls.PullError as error:
            await _back_off(place, reference, voice, error.message, attempt)
        else:
            what = f'Successfully pulled image "{reference}"'
            here = f'Container image "{reference}" already present on machine'
            voice.event(place, "Pulled", what if obtained.pulled else here)
            voice.tell(replace(voice.record, image_id=obtained.image.image_id))
            return obtained.image


async def _back_off(place: Place, reference: str, voice: Voice, why: str, attempt: int) -> None:
    delays = place.node.delays
    voice.warn(place, "Failed", f'Failed to pull image "{reference}": {why}')
    voice.wait_with(place, "ErrImagePull", why)
    pause = delays.pull.delay(attempt, place.node.random)
    await anyio.sleep(pause * _ERR_SHARE)
    message = f'Back-off pulling image "{reference}"'
    voice.event(place, "BackOff", message)
    voice.wait_with(place, "ImagePullBackOff", f"{message}: ErrImagePull: {why}")
    await anyio.sleep(pause * (1 - _ERR_SHARE))
