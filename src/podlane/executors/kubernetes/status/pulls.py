"""What a failed image pull means: whose fault, what to change, and whether it may pass. Pure.

The substrings are GitLab Runner's (kubernetes-executor 7.2); the waiting times are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from podlane.model.failures import FailureReason

REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_PASSING = (
    "dial tcp",
    "connection refused",
    "no such host",
    "i/o timeout",
    "tls handshake",
    "client.timeout exceeded",
    "request canceled",
    "connection reset",
    "temporary failure in name resolution",
)
_BUSY = (
    "429",
    "too many requests",
    "toomanyrequests",
    "qps exceeded",
    " 500",
    " 502",
    " 503",
    " 504",
)
_MISSING = ("not found", "manifest unknown", "name unknown")
_REFUSED = (
    "pull access denied",
    "access to the resource is denied",
    "no basic auth credentials",
    "repository does not exist or may require",
    "unauthorized",
    "authentication required",
    "denied",
)
_FINAL = frozenset({"InvalidImageName", "ErrImageNeverPull", "SignatureValidationFailed"})
_SHORT_SECONDS = 11.5  # a kubelet tries again after 10 s: one more chance
_LONG_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFailure:
    """A failed pull. ``patience_seconds``: how long the node may go on trying."""

    message: str
    failure: FailureReason
    hint: str | None
    patience_seconds: float = 0.0


def classify(reason: str, message: str, image: str, container: str) -> PullFailure:
    """Return what the kubelet's ``reason`` and ``message`` mean."""
    text = f'image pull failed: image "{image}" for container "{container}": {reason}: {message}'
    lower = message.lower()
    if reason in _FINAL:
        return PullFailure(
            message=text,
            failure=FailureReason.RUNNER_CONFIGURATION_ERROR,
            hint=_FINAL_HINTS[reason],
        )
    if any(part in lower for part in _PASSING):
        return PullFailure(
            message=text,
            failure=FailureReason.RUNNER_EXTERNAL_DEPENDENCY_FAILURE,
            hint="the registry cannot be reached from the node; image_rewrites can name a mirror",
            patience_seconds=_SHORT_SECONDS,
        )
    if any(part in lower for part in _MISSING):
        hint = "check the image's name and tag, and that the registry has it"
        return _configuration(text, hint)
    if any(part in lower for part in _REFUSED):
        hint = "check image_pull_secrets, DOCKER_AUTH_CONFIG and the image's name"
        return _configuration(text, hint)
    if any(part in lower for part in _BUSY):
        return PullFailure(
            message=text,
            failure=FailureReason.IMAGE_PULL_FAILURE,
            hint="the registry is overloaded or limits us; image_rewrites can name a mirror",
            patience_seconds=_LONG_SECONDS,
        )
    return PullFailure(
        message=text,
        failure=FailureReason.IMAGE_PULL_FAILURE,
        hint=None,
        patience_seconds=_SHORT_SECONDS,
    )


_FINAL_HINTS = {
    "InvalidImageName": "an image is named [registry/]repository[:tag][@digest], in lower case",
    "ErrImageNeverPull": "the image is not on the node and pull_policy is never: "
    "load it there or change pull_policy",
    "SignatureValidationFailed": "the node's policy does not accept the image's signature",
}


def _configuration(text: str, hint: str) -> PullFailure:
    return PullFailure(message=text, failure=FailureReason.RUNNER_CONFIGURATION_ERROR, hint=hint)
