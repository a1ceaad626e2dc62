"""The early word: what a Workspace asks for against its host's policy, in the fields of its spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from controller.api import HostPolicy
from controller.container_spec import ContainerSpec
from controller.errors import ConfigurationError, PolicyViolation
from controller.policy.capabilities import capability_allowed, capability_name
from controller.policy.images import image_allowed
from controller.policy.limits import excesses
from controller.policy.namespaces import namespace_allowed
from controller.policy.paths import expand, is_reserved, path_allowed, path_problem, pattern_problems
from controller.policy.problems import pool_problems
from controller.policy.targets import target_problem


def violation(
    spec: ContainerSpec, namespace: str, namespace_labels: Mapping[str, str], policy: HostPolicy
) -> PolicyViolation | None:
    """The first thing that `policy` doesn't allow a Workspace of `namespace`; its message names field and rule."""
    if not namespace_allowed(policy, namespace, namespace_labels):
        rule = "DockerHost policy.namespaces doesn't list it; ask the host's administrator, or choose another spec.host"
        return PolicyViolation(f"metadata.namespace: {namespace} may not use this host: {rule}")
    found = chain.from_iterable(check(spec, namespace, policy) for check in _CHECKS)
    return next((PolicyViolation(text) for text in found), None)


def _project_path(spec: ContainerSpec, namespace: str, policy: HostPolicy) -> Iterator[str]:
    for bind in spec.binds:
        if problem := path_problem(bind.source):
            yield f"spec.projectPath: {bind.source!r} {problem}"
        elif is_reserved(bind.source):
            yield f"spec.projectPath: {bind.source} is never shared with Workspaces, whatever the DockerHost's policy"
        elif problems := pattern_problems(policy.project_paths):
            yield f"spec.projectPath: DockerHost policy.projectPaths must be put right first: {problems[0]}"
        elif not path_allowed(bind.source, policy.project_paths, namespace):
            allowed = ", ".join(expand(policy.project_paths, namespace)) or "nothing"
            rule = f"not allowed by DockerHost policy.projectPaths; allowed: {allowed}"
            yield f"spec.projectPath: {bind.source} is {rule}"


def _targets(spec: ContainerSpec, namespace: str, policy: HostPolicy) -> Iterator[str]:
    targets = [("spec.projectMountPath", bind.target) for bind in spec.binds]
    targets += [(f"spec.volumes[{volume.short_name}].mountPath", volume.target) for volume in spec.volumes]
    for field, target in targets:
        if problem := target_problem(target):
            yield f"{field}: {target!r} {problem}"
    if problem := target_problem(spec.working_dir, root_allowed=True):
        yield f"spec.workingDir: {spec.working_dir!r} {problem}"


def _image(spec: ContainerSpec, namespace: str, policy: HostPolicy) -> Iterator[str]:
    try:
        if not image_allowed(spec.image, policy.images):
            allowed = ", ".join(policy.images) or "nothing"
            yield f"spec.image: {spec.image} is not allowed by DockerHost policy.images; allowed: {allowed}"
    except ConfigurationError as error:
        yield f"spec.image: {error}"


def _resources(spec: ContainerSpec, namespace: str, policy: HostPolicy) -> Iterator[str]:
    for excess in excesses(spec.limits, policy):
        yield f"spec.resources.{excess.field}: {excess.rule}"


def _security(spec: ContainerSpec, namespace: str, policy: HostPolicy) -> Iterator[str]:
    for capability in spec.cap_add:
        if not capability_allowed(capability, policy.capabilities):
            allowed = ", ".join(map(capability_name, policy.capabilities)) or "none"
            yield (
                f"spec.securityContext.capabilities.add: {capability} is not allowed by "
                f"DockerHost policy.capabilities; allowed: {allowed}"
            )
    if not spec.no_new_privileges and not policy.allow_privilege_escalation:
        yield (
            "spec.securityContext.allowPrivilegeEscalation: true is not allowed by "
            "DockerHost policy.allowPrivilegeEscalation: false"
        )


def _network(spec: ContainerSpec, namespace: str, policy: HostPolicy) -> Iterator[str]:
    if spec.network is None:
        if spec.ports:
            yield "spec.ports: can't be published with spec.network.mode: None"
        return
    for problem in pool_problems(policy):
        yield f"spec.network.mode: DockerHost {problem} must be put right first"


_CHECKS: tuple[Callable[[ContainerSpec, str, HostPolicy], Iterator[str]], ...] = (
    _project_path,
    _targets,
    _image,
    _resources,
    _security,
    _network,
)
