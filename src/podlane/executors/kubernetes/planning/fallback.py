"""Which pull policy a container gets next, when its image could not be pulled. Pure.

A container may have a list of policies: after a failure the pod is made again, with that container's
next policy (kubernetes-executor 7.1). The failures so far are all that is known of where a job is;
they stand in annotations of the pod and its Secret, so that another manager can go on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec

from podlane.executors.base import Level, Message
from podlane.executors.kubernetes.manifests.containers import HELPER, INIT
from podlane.executors.kubernetes.manifests.images import PULL_POLICIES
from podlane.executors.kubernetes.status.observe import Broken
from podlane.kit.jsonvalue import Json, JsonObject, obj, objects, text
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome

ANNOTATION = "podlane.dev/pull-failures"
Policies: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
_NEVER_PULLED = "ErrImageNeverPull"
# Another policy cannot make a name valid, and must not get around what the node refuses to run.
_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", _NEVER_PULLED})
_MESSAGE_LIMIT = 1000  # of one failure, in the annotation


@dataclass(frozen=True, slots=True, kw_only=True)
class PullAttempt:
    """An image that could not be pulled. ``policy`` as Kubernetes writes it; empty: the cluster's."""

    container: str
    image: str
    policy: str
    reason: str
    message: str
    failure: FailureReason
    hint: str | None = None


def group(container: str) -> str:
    """Return whose policies a container follows: ``init-permissions`` runs the helper's image."""
    return HELPER if container == INIT else container


def current(policies: Policies, failures: Sequence[PullAttempt], container: str) -> str:
    """Return the policy that a container is pulled with, as the settings write it."""
    own = dict(policies).get(group(container), ())
    return own[min(_count(failures, container), len(own) - 1)] if own else ""


def following(policies: Policies, failures: Sequence[PullAttempt], broken: Broken) -> str | None:
    """Return the policy to try next, as the settings write it; None: there is none, or no use."""
    own = dict(policies).get(group(broken.container), ())
    index = _count(failures, broken.container) + 1
    if broken.reason not in _REASONS or index >= len(own):
        return None
    return own[index]


def attempt(
    policies: Policies, failures: Sequence[PullAttempt], broken: Broken, pod: JsonObject
) -> PullAttempt:
    """Return what is to be remembered of a failure."""
    word = current(policies, failures, broken.container)
    return PullAttempt(
        container=broken.container,
        image=_images(pod).get(broken.container, ""),
        policy=PULL_POLICIES.get(word, ""),
        reason=broken.reason,
        message=broken.said[:_MESSAGE_LIMIT],
        failure=broken.failure,
        hint=broken.hint,
    )


def lines(failures: Sequence[PullAttempt], upcoming: str | None) -> list[Message]:
    """Return GitLab Runner's words for the last failure, and for the policy that is tried next."""
    last = failures[-1]
    told = [
        Message(
            text=f'Failed to pull image "{last.image}" for container "{last.container}" '
            f'with policy "{last.policy}": {last.message}',
            level=Level.WARNING,
        )
    ]
    if upcoming is not None:
        policy = PULL_POLICIES.get(upcoming, "")
        text = (
            f'Attempt #{len(failures) + 1}: Trying "{policy}" pull policy for "{last.image}" '
            f'image for container "{last.container}"'
        )
        told.append(Message(text=text, level=Level.INFO))
    return told


def is_one_of_several(policies: Policies, broken: Broken) -> bool:
    """Whether it is a failed pull of a container that has more than one policy."""
    return broken.reason in _REASONS and group(broken.container) in dict(policies)


def exhausted(failures: Sequence[PullAttempt], untried: str = "") -> JobOutcome:
    """Return the outcome of a job whose last policy failed: all attempts for that container.

    ``untried``: the policy that there was no time for. An image that is not on the node says nothing
    about why it could not be pulled before.
    """
    last = failures[-1]
    own = [each for each in failures if group(each.container) == group(last.container)]
    telling = next((each for each in reversed(own) if each.reason != _NEVER_PULLED), last)
    tried = "; ".join(f'with policy "{each.policy}": {each.reason}: {each.message}' for each in own)
    return JobOutcome(
        reason=telling.failure,
        message=f'image pull failed: image "{last.image}" for container "{last.container}" '
        f"could not be pulled with {_what(untried)}: {tried}",
        hint=telling.hint,
    )


def never_gone(failures: Sequence[PullAttempt]) -> JobOutcome:
    """Return the outcome of a job whose failed pod did not make room for the next one in time."""
    outcome = exhausted(failures)
    return replace(
        outcome,
        message=f"{outcome.message}; the pod could not be made again for the next pull policy "
        "before poll_timeout ended",
    )


def _what(untried: str) -> str:
    if not untried:
        return "any of its pull policies"
    return f"what poll_timeout left time for (not {PULL_POLICIES.get(untried, untried)})"


def manifest(pod: JsonObject, policies: Policies, failures: Sequence[PullAttempt]) -> JsonObject:
    """Return the pod for the next attempt."""
    spec, metadata = obj(pod["spec"]), obj(pod["metadata"])
    known = dict(policies)

    def turned(box: JsonObject) -> JsonObject:
        name = text(box, "name")
        if group(name) not in known:
            return box
        rest = {key: value for key, value in box.items() if key != "imagePullPolicy"}
        word = PULL_POLICIES.get(current(policies, failures, name))
        return {**rest, "imagePullPolicy": word} if word else rest

    boxes: dict[str, Json] = {
        kind: [turned(box) for box in objects(spec, kind)]
        for kind in ("initContainers", "containers")
        if kind in spec
    }
    annotations: Json = {**obj(metadata.get("annotations") or {}), ANNOTATION: noted(failures)}
    return {
        **pod,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**spec, **boxes},
    }


def noted(failures: Sequence[PullAttempt]) -> str:
    """Return the annotation."""
    return msgspec.json.encode(tuple(failures)).decode()


def read(annotations: Mapping[str, str]) -> tuple[PullAttempt, ...]:
    """Return the failures that an annotation tells; none where there is none, or no sense in it."""
    try:
        return msgspec.json.decode(annotations.get(ANNOTATION, "[]"), type=tuple[PullAttempt, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()


def gated(policies: Policies, services: Collection[str]) -> tuple[str, ...]:
    """Return the services that the job's script waits for: their pod may have to be made again.

    All others cannot come after the script's beginning: it needs their containers.
    """
    if not any(name in services for name, _ in policies):
        return ()
    return tuple(services)


def _count(failures: Sequence[PullAttempt], container: str) -> int:
    return sum(group(each.container) == group(container) for each in failures)


def _images(pod: JsonObject) -> dict[str, str]:
    spec = obj(pod["spec"])
    boxes = [*objects(spec, "initContainers"), *objects(spec, "containers")]
    return {text(box, "name"): text(box, "image") for box in boxes}
