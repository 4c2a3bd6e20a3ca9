"""The API requests of one job: five, whatever the job does (create, create, patch, exec, delete).

Acts only; what to create was decided in ``plan``. Every write is idempotent: the names are
unguessable, so "already exists" after a lost answer is ours, and "already gone" is success.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TypeVar

from podlane.executors.kubernetes.manifests.containers import BUILD, HELPER
from podlane.executors.kubernetes.manifests.pod import owner_patch
from podlane.executors.kubernetes.manifests.stored import lost_fields
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.requests.remake import Made, Remaker
from podlane.executors.kubernetes.requests.retries import Retries, retried
from podlane.kit.backoff import Random
from podlane.kit.errors import PodlaneError, TemporaryError
from podlane.kit.jsonvalue import JsonObject, obj, text
from podlane.kit.log import event
from podlane.kit.tasks import closing
from podlane.kube.client import KubeClient
from podlane.kube.errors import AlreadyExistsError, ConflictError, NotFoundError
from podlane.kube.execstream import ExecSession

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_RETRIES = Retries()
_REMOVE_SECONDS = 30.0
_LAST_LINE = "# end"


class PodDriver:
    """The pod and Secret of one job."""

    def __init__(
        self, client: KubeClient, plan: PodPlan, random: Random, retries: Retries = _RETRIES
    ) -> None:
        self._client = client
        self._plan = plan
        self._random = random
        self._retries = retries
        self.made = Made()
        self.remaker = Remaker(client, plan.namespace, plan.name, self.made, self._retried)

    async def create(self) -> tuple[str, ...]:
        """Create the Secret, then the pod; return the fields that the cluster left out of it.

        Raises:
            ApiError, UnreachableError: refused, or no answer after several attempts.
        """
        self.made.secret = True
        await self._retried(lambda: self._create("secrets", self._plan.secret))
        pod = await self._retried(lambda: self._create("pods", self._plan.pod))
        self.made.uid = text(pod, "metadata", "uid")
        lost = lost_fields(self._plan.pod, pod)
        self._plan = self._plan.created()
        return lost

    def take_over(self, uid: str) -> None:
        """Take a pod that exists for the one that :meth:`create` would have made."""
        self.made.secret, self.made.uid = True, uid

    async def own(self) -> None:
        """Make the pod the owner of the Secret; where that fails, :meth:`remove` deletes both."""
        patch = owner_patch(self._plan.name, self.made.uid)
        try:
            await self.remaker.change_secret(obj(patch["metadata"]))
            self.made.owned = True
        except PodlaneError as error:
            event(_log, logging.WARNING, "secret_without_owner", error=error.message)

    async def warnings(self) -> list[str]:
        """Return the Warning events of the pod, each once; none when they cannot be read."""
        plan = self._plan
        chosen = f"involvedObject.name={plan.name},type=Warning"
        try:
            found = await self._client.list_events(plan.namespace, chosen)
        except PodlaneError as error:
            event(_log, logging.INFO, "events_not_read", error=error.message)
            return []
        return list(dict.fromkeys(f"{each.reason}: {each.message}" for each in found.items))

    def follow(self, offset: int) -> AbstractAsyncContextManager[ExecSession]:
        """Run the follower in the helper, from a byte offset of the spool."""
        command = self._plan.command("follow", str(offset))
        return self._client.exec(self._plan.namespace, self._plan.name, HELPER, command)

    def container_log(self, container: str, *, new: bool = False) -> AsyncGenerator[bytes, None]:
        """Follow what a container prints itself, from its beginning; ``new``: from now on."""
        plan, options = self._plan, [("tailLines", "0")] if new else []
        return self._client.pod_log(
            plan.namespace, plan.name, container, follow=True, options=options
        )

    def run_stage(
        self, container: str, name: str, status: str
    ) -> AbstractAsyncContextManager[ExecSession]:
        """Run one stage by exec; its script goes to stdin (exec strategy)."""
        command = self._plan.command("stage", "run", name, status, container)
        return self._client.exec(
            self._plan.namespace, self._plan.name, container, command, stdin=True
        )

    async def stop_stage(self, container: str, name: str) -> None:
        """Stop a stage that runs by exec: TERM, grace, KILL."""
        await self._quietly(container, self._plan.command("stage", "stop", name))

    def terminal(self, directory: str) -> AbstractAsyncContextManager[ExecSession]:
        """Open an interactive shell beside the job's script: the image's bash, else its sh."""
        script = 'cd "$1" 2>/dev/null; command -v bash >/dev/null 2>&1 && exec bash; exec sh'
        command = [self._plan.shell, "-c", script, "terminal", directory]
        return self._client.exec(
            self._plan.namespace, self._plan.name, BUILD, command, stdin=True, tty=True
        )

    async def signal(self, word: str) -> bool:
        """Leave a word for the supervisors: ``cancel``, ``gone.build`` or ``services``.

        Returns whether it is there.
        """
        logs = self._plan.where.logs
        script = (
            f'printf "" > "{logs}/{word}"; for name in {BUILD} {HELPER}; do '
            f'[ -p "{logs}/.bell-$name" ] && printf "\\n" 1<> "{logs}/.bell-$name"; done; true'
        )
        return await self._quietly(HELPER, [self._plan.shell, "-c", script])

    async def leave(self, path: str, text: str) -> None:
        """Put lines of text into a file of the helper that nobody else may read; never in argv."""
        script = (
            'umask 077; while IFS= read -r line && [ "$line" != "$2" ]; '
            'do printf "%s\\n" "$line"; done >"$1.new" && [ "$line" = "$2" ] && mv -f "$1.new" "$1"'
        )
        command = [self._plan.shell, "-c", script, "leave", path, _LAST_LINE]
        await self._quietly(HELPER, command, f"{text.rstrip()}\n{_LAST_LINE}\n".encode())

    async def remove(self, grace_seconds: int, deadline_seconds: float = _REMOVE_SECONDS) -> None:
        """Delete what was created. Never raises, never takes longer than the deadline."""
        plan = self._plan
        if not self.made.secret:
            return
        with closing(deadline_seconds) as scope:
            await self._delete("pods", grace_seconds, self.made.uid or None)
            if not self.made.owned:
                await self._delete("secrets", None, None)
        if scope.cancelled_caught:
            event(_log, logging.WARNING, "pod_not_removed", pod=plan.name)

    async def _create(self, resource: str, manifest: JsonObject) -> JsonObject:
        plan = self._plan
        try:
            return await self._client.create(resource, plan.namespace, manifest)
        except AlreadyExistsError:
            return await self._client.get(resource, plan.namespace, plan.name)

    async def _delete(self, resource: str, grace: int | None, uid: str | None) -> None:
        plan = self._plan

        async def once() -> None:
            with suppress(NotFoundError, ConflictError):
                await self._client.delete(
                    resource, plan.namespace, plan.name, grace_seconds=grace, uid=uid
                )

        try:
            await self._retried(once)
        except PodlaneError as error:
            event(_log, logging.WARNING, "not_removed", resource=resource, error=error.message)

    async def _quietly(self, container: str, command: list[str], stdin: bytes = b"") -> bool:
        """Run a short command; several attempts, and a failure is only logged."""

        async def once() -> None:
            plan = self._plan
            async with self._client.exec(
                plan.namespace, plan.name, container, command, stdin=bool(stdin)
            ) as session:
                if stdin:
                    await session.write_stdin(stdin)
                status = await session.status()
            if status.exit_code is None:
                raise TemporaryError(f"the command may not have run: {status.message}")

        try:
            await self._retried(once)
        except PodlaneError as error:
            event(_log, logging.WARNING, "signal_failed", error=error.message)
            return False
        return True

    async def _retried(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await retried(call, self._retries, self._random)
