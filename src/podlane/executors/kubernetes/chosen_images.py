"""Which image each container of a job gets, and with which pull policy. Pure."""

from __future__ import annotations

from podlane.executors.base import ExecutionPlan, Level, Message
from podlane.executors.kubernetes import helper_image as helper_images
from podlane.executors.kubernetes.flags import is_on
from podlane.executors.kubernetes.images import PULL_POLICIES, rewrite
from podlane.executors.kubernetes.manifests import containers as boxes
from podlane.executors.kubernetes.manifests.containers import ContainerImage
from podlane.executors.kubernetes.manifests.security import parse_user
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.model.job import Image
from podlane.model.variables import Variables


class ChosenImages:
    """Which image each container gets; collects what the trace should say about it."""

    def __init__(
        self,
        plan: ExecutionPlan,
        settings: KubernetesSettings,
        variables: Variables,
        machine: str,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._variables = variables
        self._machine = machine
        self.notes: list[Message] = []

    @property
    def user(self) -> tuple[int, int | None] | None:
        """The user that the job asks for."""
        return numeric_user(self._plan.job.image)

    def build(self) -> ContainerImage:
        """Return the image of the job; notes what the trace should say."""
        job = self._plan.job.image
        name = self._variables.expand(job.name or self._settings.image)
        if not name:
            raise PlanError(
                "no image specified and no default set in config",
                hint="give the job an image, or set image in [runners.kubernetes]",
            )
        self.notes.append(Message(text=f"Using Kubernetes executor with image {name} ..."))
        self._checknumeric_user(job, "build")
        return self._image(name, boxes.BUILD, job.pull_policy)

    def helper(self) -> ContainerImage:
        """Return the image of the helper."""
        name = helper_images.helper_image(
            self._settings,
            self._variables,
            lambda flag: is_on(self._plan, flag),
            self._machine,
        )
        return self._image(name, boxes.HELPER, self._plan.job.image.pull_policy)

    def service(self, service: Image) -> ContainerImage:
        """Return the image of a service."""
        name = self._variables.expand(service.name)
        self._checknumeric_user(service, name)
        return self._image(name, name, service.pull_policy)

    def _checknumeric_user(self, image: Image, what: str) -> None:
        options = image.executor_opts
        wished = options.kubernetes.user if options and options.kubernetes else ""
        if wished != "" and numeric_user(image) is None:
            text = f'user "{wished}" of {what} is not allowed or not uid[:gid]; using the image\'s'
            self.notes.append(Message(text=text, level=Level.WARNING))

    def _image(self, name: str, container: str, wished: tuple[str, ...] | None) -> ContainerImage:
        policy = self._policy(container, wished)
        image = rewrite(name, self._settings.image_rewrites)
        if image.rewritten:
            text = f"Using image {image.reference} for {image.asked} (image_rewrites)"
            self.notes.append(Message(text=text))
        return ContainerImage(image=image, pull_policy=policy)

    def _policy(self, container: str, wished: tuple[str, ...] | None) -> str:
        configured = self._settings.pull_policies
        asked = wished or configured
        allowed = self._settings.allowed_pull_policies or configured
        usable = [policy for policy in asked if not allowed or policy in allowed]
        if asked and not usable:
            source = "GitLab pipeline config" if wished else "Runner config"
            raise PlanError(
                f"pull_policy ({_shown(asked)}) defined in {source} is not one of the "
                f"allowed_pull_policies ({_shown(allowed)})"
            )
        if not usable:
            return ""
        text = f"Using effective pull policy of {_shown(usable)} for container {container}"
        self.notes.append(Message(text=text))
        return usable[0]


def _shown(policies: tuple[str, ...] | list[str]) -> str:
    return f"[{' '.join(PULL_POLICIES.get(policy, policy) for policy in policies)}]"


def numeric_user(image: Image) -> tuple[int, int | None] | None:
    """Return the uid and gid that a job asks for; None: the image's own."""
    options = image.executor_opts
    raw = options.kubernetes.user if options is not None and options.kubernetes else ""
    user = parse_user(raw)
    # Root is only for those whom allowed_users names, and that list is empty.
    return None if user is None or 0 in user else user
