"""The early word of a host's policy, on what a Workspace asks for."""

from dataclasses import replace
from typing import Any

import pytest

from controller.api import HostPolicy
from controller.container_spec import BindMount, ContainerSpec, NetworkSpec, Port, VolumeMount
from controller.observed import Limits
from controller.policy import policy_problems, violation
from tests.unit.policy_examples import GI, host_policy, workspace_spec


def _refusal(spec: ContainerSpec, policy: HostPolicy | None = None, namespace: str = "team-a") -> str:
    found = violation(spec, namespace, {"tier": "dev"}, policy or host_policy())
    return str(found) if found else ""


def _limits(**changes: int) -> ContainerSpec:
    return replace(workspace_spec(), limits=replace(workspace_spec().limits, **changes))


def test_an_ordinary_workspace_is_allowed() -> None:
    assert _refusal(workspace_spec()) == ""


def test_a_policy_that_says_nothing_allows_nothing() -> None:
    bare = replace(workspace_spec(), binds=(), volumes=(), ports=())
    assert "policy.namespaces" in _refusal(bare, HostPolicy())
    assert "policy.images" in _refusal(bare, HostPolicy.model_validate({"namespaces": {"matchNames": ["*"]}}))


@pytest.mark.parametrize(
    ("namespaces", "allowed"),
    [
        ({"matchNames": ["*"]}, True),
        ({"matchNames": ["team-b", "team-a"]}, True),
        ({"matchNames": ["team-b"]}, False),
        ({"matchNames": []}, False),
        ({}, False),
        ({"selector": {"matchLabels": {"tier": "dev"}}}, True),
        ({"selector": {"matchLabels": {"tier": "prod"}}}, False),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["dev"]}]}}, False),
        ({"selector": {}}, True),
    ],
)
def test_only_listed_namespaces_may_use_a_host(namespaces: dict[str, Any], allowed: bool) -> None:
    message = _refusal(workspace_spec(), host_policy(namespaces=namespaces))
    assert (message == "") is allowed
    assert allowed or "metadata.namespace: team-a may not use this host: DockerHost policy.namespaces" in message


def test_a_refused_project_path_is_told_with_what_is_allowed() -> None:
    spec = replace(workspace_spec(), binds=(BindMount("/home", "/workspace"),))
    assert _refusal(spec) == (
        "spec.projectPath: /home is not allowed by DockerHost policy.projectPaths; allowed: /srv/projects/team-a/*"
    )


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("/etc", "never shared"),
        ("/", "normal form"),
        ("//etc", "normal form"),
        ("/var/run/docker.sock", "never shared"),
        ("/srv/projects/team-a/../../etc", "must not hold '..'"),
        ("/srv/projects/team-a/x/.", "normal form"),
        ("/srv/projects/team-b/x", "not allowed"),
        ("/srv/projects/team-a/x/link", "not allowed"),
        ("srv", "absolute"),
    ],
)
def test_a_project_path_outside_the_policy_is_refused(source: str, rule: str) -> None:
    message = _refusal(replace(workspace_spec(), binds=(BindMount(source, "/workspace"),)))
    assert message.startswith("spec.projectPath: ")
    assert rule in message


def test_a_policy_with_nested_patterns_shares_no_directory_at_all() -> None:
    policy = host_policy().model_copy(update={"project_paths": ("/srv/projects/{namespace}/*", "/srv/projects/*")})
    assert "must be put right first" in _refusal(workspace_spec(), policy)
    assert any("lies inside" in problem for problem in policy_problems(policy))


@pytest.mark.parametrize("target", ["/", "/proc", "/sys/fs", "/dev/shm", "//proc", "/a/../proc", "relative"])
def test_nothing_is_mounted_over_the_kernels_directories(target: str) -> None:
    bind = replace(workspace_spec(), binds=(BindMount("/srv/projects/team-a/shop", target),))
    volume = replace(workspace_spec(), volumes=(VolumeMount("ws-x", "cache", target, False),))
    assert _refusal(bind).startswith("spec.projectMountPath: ")
    assert _refusal(volume).startswith("spec.volumes[cache].mountPath: ")


@pytest.mark.parametrize("path", ["/proc/self/fd/8", "/sys", "/dev/fd/7", "/./proc/self/fd/8", "//proc", ""])
def test_a_working_directory_in_the_kernels_is_refused(path: str) -> None:
    assert _refusal(replace(workspace_spec(), working_dir=path)).startswith("spec.workingDir: ")


def test_the_root_directory_may_be_the_working_directory() -> None:
    assert _refusal(replace(workspace_spec(), working_dir="/")) == ""


def test_a_refused_image_is_told_with_what_is_allowed() -> None:
    message = _refusal(replace(workspace_spec(), image="evil:1"), host_policy(images=["alpine:*", "ghcr.io/org/*"]))
    assert message == "spec.image: evil:1 is not allowed by DockerHost policy.images; allowed: alpine:*, ghcr.io/org/*"


def test_an_image_id_is_refused_even_where_any_image_is_allowed() -> None:
    assert "spec.image" in _refusal(replace(workspace_spec(), image="ab" * 32))


@pytest.mark.parametrize(
    ("spec", "field", "rule"),
    [
        (_limits(nano_cpus=4_500_000_000), "spec.resources.limits.cpu", "4500m is more than"),
        (_limits(memory=9 * GI, memory_swap=9 * GI), "spec.resources.limits.memory", "9Gi is more than"),
        (_limits(pids=5000), "spec.resources.limits.pids", "5000 is more than"),
        (_limits(cpu_shares=5 * 1024), "spec.resources.requests.cpu", "more than"),
        (_limits(memory_reservation=9 * GI), "spec.resources.requests.memory", "9Gi is more than"),
        (_limits(nano_cpus=0), "spec.resources.limits.cpu", "a limit must be set"),
        (_limits(memory=0), "spec.resources.limits.memory", "a limit must be set"),
        (_limits(pids=-1), "spec.resources.limits.pids", "a limit must be set"),
        (_limits(memory_swap=-1), "spec.resources.limits.memory", "no swap"),
        (_limits(memory_swap=0), "spec.resources.limits.memory", "no swap"),
    ],
)
def test_resources_stay_within_the_hosts_maximum(spec: ContainerSpec, field: str, rule: str) -> None:
    message = _refusal(spec)
    assert message.startswith(f"{field}: ")
    assert rule in message


def test_the_maximum_itself_is_allowed() -> None:
    limits = Limits(4_000_000_000, 4096, 8 * GI, 8 * GI, 8 * GI, 4096)
    assert _refusal(replace(workspace_spec(), limits=limits)) == ""


@pytest.mark.parametrize("capability", ["SYS_ADMIN", "CAP_SYS_ADMIN", "sys_admin", "ALL", "NET_RAW"])
def test_a_capability_that_is_not_listed_is_refused(capability: str) -> None:
    message = _refusal(replace(workspace_spec(), cap_add=(capability,)), host_policy(capabilities=["SYS_PTRACE"]))
    assert message.startswith("spec.securityContext.capabilities.add: ")
    assert "allowed: SYS_PTRACE" in message


@pytest.mark.parametrize("capability", ["SYS_PTRACE", "CAP_SYS_PTRACE", "sys_ptrace"])
def test_a_listed_capability_is_allowed_in_any_spelling(capability: str) -> None:
    assert _refusal(replace(workspace_spec(), cap_add=(capability,)), host_policy(capabilities=["SYS_PTRACE"])) == ""


def test_all_capabilities_are_given_only_where_all_is_listed() -> None:
    every = replace(workspace_spec(), cap_add=("ALL",))
    assert _refusal(every, host_policy(capabilities=["SYS_ADMIN", "NET_ADMIN"]))
    assert _refusal(every, host_policy(capabilities=["ALL"])) == ""


def test_privilege_escalation_needs_the_policys_word() -> None:
    spec = replace(workspace_spec(), no_new_privileges=False)
    assert "policy.allowPrivilegeEscalation" in _refusal(spec)
    assert _refusal(spec, host_policy(allowPrivilegeEscalation=True)) == ""


def test_ports_need_a_network() -> None:
    spec = replace(workspace_spec(), network=None, ports=(Port("http", 8080, "TCP"),))
    assert _refusal(spec).startswith("spec.ports: ")


@pytest.mark.parametrize("base", ["8.8.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/0", "224.0.0.0/4"])
def test_a_pool_of_public_or_special_addresses_is_refused(base: str) -> None:
    policy = host_policy(addressPool={"base": base, "size": 24})
    spec = replace(workspace_spec(), network=NetworkSpec("ws-n", "team-a", "Isolated", base, 24))
    assert "policy.addressPool.base" in _refusal(spec, policy)
    assert "policy.addressPool.base" in policy_problems(policy)[0]


def test_a_sound_policy_has_no_problems() -> None:
    assert policy_problems(host_policy(capabilities=["SYS_PTRACE", "ALL"])) == []


def test_each_problem_of_a_policy_names_its_field() -> None:
    policy = host_policy(capabilities=["SYS_EVERYTHING"], ports={"address": "127.0.0.1", "range": "20000-29999"})
    broken = policy.model_copy(
        update={
            "project_paths": ("/etc/*",),
            "images": ("alpine:?",),
            "ports": policy.ports.model_copy(update={"address": "everywhere", "range": "9-1"}),
        }
    )
    assert [problem.split(":")[0] for problem in policy_problems(broken)] == [
        *("policy.projectPaths", "policy.images", "policy.capabilities", "policy.ports.address", "policy.ports.range")
    ]
