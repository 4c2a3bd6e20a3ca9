"""Which image each container of a job gets, and with which pull policy. Pure."""

from __future__ import annotations

from podlane.executors.base import ExecutionPlan, Message
from podlane.executors.kubernetes.manifests import containers as boxes
from podlane.executors.kubernetes.manifests.containers import ContainerImage
from podlane.executors.kubernetes.manifests.images import PULL_POLICIES, rewrite
from podlane.executors.kubernetes.manifests.security import JobUser
from podlane.executors.kubernetes.manifests.services import PodService
from podlane.executors.kubernetes.planning import helper_image as helper_images
from podlane.executors.kubernetes.planning.allowed import check_image, job_user
from podlane.executors.kubernetes.planning.flags import is_on
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.settings.security import ContainerSecurity
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
        check_image(name, "images", self._settings.allowed_images, self._always())
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
        own = (self._variables.expand(configured.name) for configured in self._settings.services)
        check_image(name, "services", self._settings.allowed_services, (*self._always(), *own))
        return self._image(name, name, service.pull_policy)

    def user(self) -> JobUser:
        """Return the user of the job's container, as far as the job decides it."""
        own = self._settings.build_container_security_context
        return self._user(self._plan.job.image, boxes.BUILD, own)

    def user_of(self, service: PodService) -> JobUser:
        """Return the user of a service, as far as the job decides it."""
        own = self._settings.service_container_security_context
        return self._user(service.service, service.container, own)

    def _user(self, image: Image, container: str, own: ContainerSecurity | None) -> JobUser:
        options = image.executor_opts
        wished = str(options.kubernetes.user) if options and options.kubernetes else ""
        expanded = self._variables.expand(wished)
        user, notes = job_user(expanded, container, self._settings, own)
        self.notes += notes
        return user

    def _always(self) -> tuple[str, ...]:
        """Return the images that may run whatever is allowed: as GitLab Runner, those it chooses."""
        default = self._variables.expand(self._settings.image)
        return default, helper_images.repository(lambda flag: is_on(self._plan, flag))

    def _image(self, name: str, container: str, wished: tuple[str, ...] | None) -> ContainerImage:
        policies = self._policies(container, wished)
        image = rewrite(name, self._settings.image_rewrites)
        if image.rewritten:
            text = f"Using image {image.reference} for {image.asked} (image_rewrites)"
            self.notes.append(Message(text=text))
        return ContainerImage(image=image, pull_policies=policies)

    def _policies(self, container: str, wished: tuple[str, ...] | None) -> tuple[str, ...]:
        configured = self._settings.pull_policies
        allowed = self._settings.allowed_pull_policies or configured
        # Nobody's wish is the cluster's default, which has to be allowed as any other.
        asked = wished or configured or (("",) if allowed else ())
        usable = tuple(policy for policy in asked if not allowed or policy in allowed)
        if asked and not usable:
            source = "GitLab pipeline config" if wished else "Runner config"
            source += "" if wished or configured else " (default)"
            raise PlanError(
                f"pull_policy ({_shown(asked)}) defined in {source} is not one of the "
                f"allowed_pull_policies ({_shown(allowed)})",
                hint="name one of them in the job's pull_policy, or set pull_policy in "
                "[runners.kubernetes]",
            )
        if usable:
            text = f"Using effective pull policy of {_shown(usable)} for container {container}"
            self.notes.append(Message(text=text))
        return usable


def _shown(policies: tuple[str, ...]) -> str:
    return f"[{' '.join(PULL_POLICIES.get(policy, policy) for policy in policies)}]"
