"""DockerHost: a Docker Engine and what Workspaces may ask of it. The business of the host's administrator."""

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, WrapValidator

from controller.api.fields import Capability
from controller.api.meta import Conditions, LabelSelector, LocalReference, ObjectMeta
from controller.api.model import API_VERSION, ApiModel, ShortText, StatusModel, Timestamp, drop_unreadable
from controller.api.quantity import CpuLimit, Memory
from controller.api.rules import Rule, RuledModel, Transition, cel_string

_ENDPOINT = (
    r"^(unix://(/[-A-Za-z0-9_+@,][-A-Za-z0-9._+@,]*)+"
    r"|tcp://([A-Za-z0-9][-A-Za-z0-9.]*|\[[a-fA-F0-9:]+\]):[0-9]{1,5}"
    r"|ssh://([A-Za-z0-9_][-A-Za-z0-9._]*@)?([A-Za-z0-9][-A-Za-z0-9.]*|\[[a-fA-F0-9:]+\])(:[0-9]{1,5})?)$"
)
_PROJECT = r"^(/([-A-Za-z0-9_+@][-A-Za-z0-9._+@]*|[-A-Za-z0-9._+@]*[{]namespace[}][-A-Za-z0-9._+@]*))+(/[*])?$"


MOST_OPERATIONS = 256  # calls to one host at a time


class Enforcement(StrEnum):
    """What happens to a running Workspace that a change of the policy forbids."""

    REPORT = "Report"
    STOP = "Stop"


NamespacePattern = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$")
]
ProjectPattern = Annotated[str, StringConstraints(min_length=2, max_length=256, pattern=_PROJECT)]
ImagePattern = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[-A-Za-z0-9._/:@*\[\]]+$")]


class NamespacePolicy(RuledModel):
    """The namespaces whose Workspaces may use the host."""

    rules = (
        Rule(
            cel="!(has(self.matchNames) && size(self.matchNames) > 0 && has(self.selector))",
            message="must not have both matchNames and selector",
            holds=lambda policy: not policy.match_names or policy.selector is None,
        ),
    )

    match_names: Annotated[tuple[NamespacePattern, ...], Field(max_length=256)] = ()
    """Names of namespaces; * stands for any characters, as in team-*. Default: none."""
    selector: LabelSelector | None = None
    """Selects namespaces by their labels, instead of matchNames."""


class MaxResources(ApiModel):
    """The highest limits that one Workspace may ask for."""

    cpu: CpuLimit = "4"
    """CPUs. Default: 4."""
    memory: Memory = "8Gi"
    """Memory. Default: 8Gi."""
    pids: Annotated[int, Field(ge=1, le=4194304)] = 4096
    """Processes and threads. Default: 4096."""


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return isinstance(address, ipaddress.IPv4Address) or (address.ipv4_mapped is None and address.scope_id is None)


def _is_range(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{1,5}-[0-9]{1,5}", text, re.ASCII):
        return True  # the pattern says so
    low, high = (int(number) for number in text.split("-"))
    return 1 <= low <= high <= 65535


class PortPolicy(ApiModel):
    """Where ports are published."""

    address: Annotated[
        str,
        StringConstraints(min_length=2, max_length=45),
        Rule("isIP(self)", "must be an IP address of the host, such as 127.0.0.1", _is_ip),
    ] = "127.0.0.1"
    """IP address of the host that ports are published on. Default: 127.0.0.1, which only the host itself reaches."""
    range: Annotated[
        str,
        StringConstraints(max_length=11, pattern="^[0-9]{1,5}-[0-9]{1,5}$"),
        Rule(
            cel="!self.matches('^[0-9]{1,5}-[0-9]{1,5}$') || (int(self.split('-')[0]) >= 1 &&"
            " int(self.split('-')[0]) <= int(self.split('-')[1]) && int(self.split('-')[1]) <= 65535)",
            message="must be two ports from 1 to 65535, the lower first, such as 20000-29999",
            holds=_is_range,
        ),
    ] = "20000-29999"
    """Ports of the host that may be taken, first and last. Default: 20000-29999."""


def _is_network(text: str) -> bool:
    try:
        ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return re.fullmatch("[0-9.]+/(0|[1-9][0-9]*)", text, re.ASCII) is not None


class AddressPool(RuledModel):
    """Addresses for the networks of Workspaces: one network for each namespace and mode."""

    rules = (
        Rule(
            cel="!isCIDR(self.base) || cidr(self.base).prefixLength() <= self.size",
            message="size must not be shorter than the prefix of base",
            holds=lambda pool: ipaddress.IPv4Network(pool.base).prefixlen <= pool.size,
            field_path=".size",
        ),
    )

    base: Annotated[
        str,
        StringConstraints(min_length=9, max_length=18),
        Rule(
            cel="isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self) == cidr(self).masked()",
            message="must be an IPv4 network, such as 10.210.0.0/16, with no bits set behind its prefix",
            holds=_is_network,
        ),
    ] = "10.210.0.0/16"
    """The network that is divided. It must not overlap any that the host can reach. Default: 10.210.0.0/16."""
    size: Annotated[int, Field(ge=8, le=29)] = 24
    """Prefix length of each part. Default: 24, which gives 256 networks of 253 Workspaces in a /16."""


def _inside(outer: list[str], inner: list[str]) -> bool:
    """Whether some namespace has a path of pattern `inner` below one of pattern `outer`."""
    wild = "{namespace}"
    return len(outer) < len(inner) and all(
        here == there or here == "*" or wild in here or wild in there
        for here, there in list(zip(outer, inner, strict=False))[:_DEPTH]
    )


_DEPTH = 16
"""Path components that are compared: CEL has no loop over an index. Deeper ones count as equal, which is safe."""
_APART = Rule(
    cel="self.map(p, p.split('/')).all(p, self.map(q, q.split('/')).all(q, size(p) >= size(q) || "
    f"{list(range(_DEPTH))}.exists(i, i < size(p) && p[i] != q[i] && p[i] != '*'"
    " && !p[i].contains('{namespace}') && !q[i].contains('{namespace}'))))",
    message="must not have a pattern that lies inside another: a tenant could plant a link along an allowed path",
    holds=lambda patterns: not any(_inside(p.split("/"), q.split("/")) for p in patterns for q in patterns),
)


class HostPolicy(ApiModel):
    """What Workspaces may ask of the host. Empty lists allow nothing."""

    namespaces: NamespacePolicy = NamespacePolicy()
    """The namespaces whose Workspaces may use the host. Default: none."""
    project_paths: Annotated[tuple[ProjectPattern, ...], Field(max_length=32), _APART] = ()
    """Directories that may be mounted, such as /srv/projects/{namespace}/*: {namespace} is the Workspace's namespace, a
    last * any one name. Default: none."""
    images: Annotated[tuple[ImagePattern, ...], Field(max_length=256)] = ()
    """Images that may be used, such as registry.example.com/team/*; "*" alone is any. Default: none."""
    max_resources: MaxResources = MaxResources()
    """The highest limits that one Workspace may ask for."""
    capabilities: Annotated[tuple[Capability, ...], Field(max_length=64)] = ()
    """Linux capabilities that may be added, without the CAP_ prefix. Default: none."""
    allow_privilege_escalation: bool = False
    """Whether Workspaces may switch off no-new-privileges. Default: false."""
    ports: PortPolicy = PortPolicy()
    """Where ports are published."""
    address_pool: AddressPool = AddressPool()
    """Addresses for the networks of Workspaces."""
    enforcement: Enforcement = Enforcement.REPORT
    """A running Workspace that a changed policy forbids is only reported (Report, the default) or stopped (Stop)."""


class DockerHostSpec(RuledModel):
    """How the Docker Engine is reached and what Workspaces may ask of it."""

    rules = (
        Rule(
            cel="self.endpoint.startsWith('tcp://') == has(self.tlsSecretRef)",
            message="tlsSecretRef is needed with a tcp:// endpoint, and only there: plain tcp:// is refused",
            holds=lambda spec: spec.endpoint.startswith("tcp://") == (spec.tls_secret_ref is not None),
            field_path=".tlsSecretRef",
        ),
        Rule(
            cel="self.endpoint.startsWith('ssh://') == has(self.sshSecretRef)",
            message="sshSecretRef is needed with an ssh:// endpoint, and only there",
            holds=lambda spec: spec.endpoint.startswith("ssh://") == (spec.ssh_secret_ref is not None),
            field_path=".sshSecretRef",
        ),
    )

    endpoint: Annotated[
        str,
        StringConstraints(min_length=1, max_length=512),
        Rule(
            cel=f"self.matches({cel_string(_ENDPOINT)})",
            message="must be unix:///path, tcp://host:port or ssh://user@host",
            holds=lambda text: re.fullmatch(_ENDPOINT, text) is not None,
        ),
        Transition("self == oldSelf", "endpoint can't be changed: make a new DockerHost", lambda new, old: new == old),
    ]
    """unix:///var/run/docker.sock, tcp://host:2376 with tlsSecretRef, or ssh://user@host with sshSecretRef.
    Immutable."""
    tls_secret_ref: LocalReference | None = None
    """For tcp://: Secret in the controller's namespace with the client's tls.crt and tls.key and the
    server's ca.crt."""
    ssh_secret_ref: LocalReference | None = None
    """For ssh://: Secret in the controller's namespace with ssh-privatekey and known_hosts."""
    max_concurrent_operations: Annotated[int | None, Field(ge=2, le=MOST_OPERATIONS)] = None
    """Docker calls that change something in flight at a time, 2 to 256. Default: four times the host's CPUs."""
    policy: HostPolicy = HostPolicy()
    """What Workspaces may ask of the host. Without it they may ask nothing."""


class DockerHostStatus(StatusModel):
    """What the controller found."""

    observed_generation: int = -1
    """The metadata.generation that this status is about; -1 before the first."""
    conditions: Conditions = ()
    """Ready (whether the engine answers and can be used), Reconciling and Stalled."""
    engine_version: ShortText | None = None
    """Version of the Docker Engine."""
    api_version: ShortText | None = None
    """Version of the API that is spoken with it."""
    workspaces: Annotated[int | None, Field(ge=0)] = None
    """Workspaces that name this host."""
    running: Annotated[int | None, Field(ge=0)] = None
    """Workspaces whose container runs."""
    last_contact: Timestamp | None = None
    """When the engine last answered, as of the last change of this status."""


class DockerHost(ApiModel):
    """A Docker Engine that Workspaces run on, and what they may ask of it."""

    api_version: Literal["aicli.dev/v1alpha1"] = API_VERSION
    kind: Literal["DockerHost"] = "DockerHost"
    metadata: ObjectMeta
    spec: DockerHostSpec
    """How the engine is reached and what Workspaces may ask of it."""
    status: Annotated[DockerHostStatus, WrapValidator(drop_unreadable)] = DockerHostStatus()
    """What was found, written by the controller."""
