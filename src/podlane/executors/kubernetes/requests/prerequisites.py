"""The ground that the pod of a job stands on: what must be there before it, and what goes after it.

A namespace of its own, things that others make, a watch, and the budget that keeps the pod from being
evicted. For most jobs there is nothing to do here.
"""

from __future__ import annotations

import logging

import anyio

from podlane.executors.kubernetes.outcome.messages import refused
from podlane.executors.kubernetes.planning.placement import POD, Awaited
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.requests.retries import Retries, retried
from podlane.executors.kubernetes.requests.watches import Lease
from podlane.kit.backoff import Random
from podlane.kit.errors import PermanentError, PodlaneError, TemporaryError
from podlane.kit.jsonvalue import JsonObject, text
from podlane.kit.log import event
from podlane.kube.errors import AlreadyExistsError, ConflictError, ForbiddenError, NotFoundError
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0
_GOING = "is still being deleted"
# What a controller makes in a new namespace, a moment after the namespace.
NEW_ACCOUNT = 'serviceaccount "default" not found'
_CANCELED = JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")


class Ground:
    """Of one job. ``plan`` as it was made, ``lease`` is the watch of its namespace."""

    __slots__ = (
        "_asked", "_beside", "_canceled", "_entering", "_lease", "_namespace", "_pod", "_random",
        "_retries", "_uid",
    )  # fmt: skip

    def __init__(self, lease: Lease, plan: PodPlan, retries: Retries, random: Random) -> None:
        self._beside, self._namespace, self._pod = plan.beside, plan.namespace, plan.name
        self._lease = lease
        self._retries = retries
        self._random = random
        self._canceled = False
        self._entering: anyio.CancelScope | None = None
        self._asked = False
        self._uid = ""

    async def enter(self, *, there: bool) -> JobOutcome | None:
        """Make and wait for what the pod needs; return how the job ends if that cannot be had.

        ``there``: the pod exists already, and a cancel is for its script.
        """
        with anyio.CancelScope() as scope:
            if not there:
                self._entering = scope
                if self._canceled:
                    scope.cancel()
            try:
                if not there:
                    await self._prepare()
                await self._lease.opened()
            except PodlaneError as error:
                return refused(error, own_token=self._beside.own_token)
            finally:
                self._entering = None
        return _CANCELED if scope.cancelled_caught else None

    def cancel(self) -> None:
        """Stop waiting for what a pod needs that does not exist yet. Idempotent."""
        self._canceled = True
        if self._entering is not None:
            self._entering.cancel()

    async def protect(self, uid: str) -> None:
        """Make the budget of the pod's incarnation ``uid``, where there shall be one.

        Raises:
            ApiError, UnreachableError: refused, or no answer after several attempts.
        """
        budget = self._beside.budget_of(self._pod, uid)
        if budget is None:
            return

        async def once() -> None:
            try:
                await self._lease.client.create("poddisruptionbudgets", self._namespace, budget)
            except AlreadyExistsError:
                return  # the name is this incarnation's: an answer was lost

        await retried(once, self._retries, self._random)

    async def leave(self, *, there: bool = False) -> None:
        """Delete the job's own namespace, with all that is in it. Never raises.

        ``there``: it was made by somebody who is dead.
        """
        if not self._beside.own_room or not (self._asked or there):
            return
        try:
            await retried(lambda: self._delete_room(there=there), self._retries, self._random)
        except PodlaneError as error:
            event(
                _log, logging.WARNING, "namespace_not_removed",
                namespace=self._namespace, error=error.message,
            )  # fmt: skip

    async def _prepare(self) -> None:
        room = self._beside.room
        if room is not None:
            self._asked = True
            patient = self._retries.patient_with(_GOING)
            await retried(lambda: self._make_room(room), patient, self._random)
        for one in self._beside.awaited:
            await self._wait_for(one)

    async def _make_room(self, room: JsonObject) -> None:
        name = self._namespace
        try:
            made = await self._lease.client.create("namespaces", "", room)
        except AlreadyExistsError as error:
            made = await self._existing(error)
            if text(made, "metadata", "annotations", POD) != self._pod:
                if text(made, "metadata", "deletionTimestamp"):
                    raise TemporaryError(
                        f'namespace "{name}" {_GOING}: a job of this number was in it before',
                        hint="wait until it is gone, then retry the job",
                    ) from error
                raise PermanentError(
                    f'namespace "{name}" exists already, and was not made for this job',
                    hint="delete it if nobody needs it; two GitLab servers or coordinators whose "
                    "jobs have the same numbers cannot share a cluster with namespace_per_job",
                ) from error
        self._uid = text(made, "metadata", "uid")

    async def _existing(self, error: AlreadyExistsError) -> JsonObject:
        try:
            return await self._lease.client.get("namespaces", "", self._namespace)
        except ForbiddenError:
            raise error from None

    async def _wait_for(self, one: Awaited) -> None:
        """Look until it is there (GitLab's number of checks, pauses and sentence)."""
        for attempt in range(self._beside.checks):
            if attempt:
                await anyio.sleep(_PAUSE_SECONDS)
            try:
                await retried(
                    lambda: self._lease.client.get(one.resource, self._namespace, one.name),
                    self._retries, self._random,
                )  # fmt: skip
            except NotFoundError:
                continue
            return
        raise PermanentError(
            f"Timed out while waiting for {one.kind}/{one.name} to be present in the cluster",
            hint=f"create it in namespace {self._namespace}, or correct {one.key} in "
            "[runners.kubernetes]",
        )

    async def _delete_room(self, *, there: bool) -> None:
        """Delete it, but no other one of its name: who lost the answer looks whose it is."""
        try:
            if not self._uid and not there:
                found = await self._lease.client.get("namespaces", "", self._namespace)
                if text(found, "metadata", "annotations", POD) != self._pod:
                    return
                self._uid = text(found, "metadata", "uid")
            await self._lease.client.delete(
                "namespaces", "", self._namespace, uid=self._uid or None
            )
        except (NotFoundError, ConflictError):
            return
