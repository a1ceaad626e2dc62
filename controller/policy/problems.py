"""What is wrong with a policy itself, for the DockerHost's own status."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network, ip_address

from controller.api import HostPolicy
from controller.policy.capabilities import ALL, KNOWN, capability_name
from controller.policy.images import image_pattern_problem
from controller.policy.paths import pattern_problems

SMALLEST_SUBNET = 29  # bits: five containers beside the gateway
_SHARED = IPv4Network("100.64.0.0/10")


def policy_problems(policy: HostPolicy) -> list[str]:
    """Each part of `policy` that can't be applied as it stands; what it concerns is refused to every Workspace."""
    problems = [f"policy.projectPaths: {problem}" for problem in pattern_problems(policy.project_paths)]
    problems += [f"policy.images: {i!r} {text}" for i in policy.images if (text := image_pattern_problem(i))]
    problems += [f"policy.capabilities: {c} is not a capability of Linux" for c in policy.capabilities if not _known(c)]
    return [*problems, *pool_problems(policy), *port_problems(policy)]


def pool_problems(policy: HostPolicy) -> Iterator[str]:
    """Why the address pool can't be cut into bridges' subnets."""
    problem = _pool_problem(policy.address_pool.base, policy.address_pool.size)
    if problem:
        yield problem


@lru_cache(maxsize=1024)  # asked for each Workspace, each time; the answers are few
def _pool_problem(pool: str, size: int) -> str:
    try:
        base = IPv4Network(pool)
    except ValueError:
        base = None
    if base is None or not _is_private(base):
        return f"policy.addressPool.base: {pool!r} must be a private IPv4 network, such as 10.210.0.0/16"
    if not base.prefixlen <= size <= SMALLEST_SUBNET:
        return f"policy.addressPool.size: {size} must be from {base.prefixlen} (the base) to {SMALLEST_SUBNET}"
    return ""


def _is_private(network: IPv4Network) -> bool:
    """Bridges take routes: public networks, and those that mean something to the host itself, must stay reachable."""
    special = network.is_loopback or network.is_link_local or network.is_unspecified
    return (network.is_private or network.subnet_of(_SHARED)) and not special


def port_range(policy: HostPolicy) -> range:
    """The host's ports that may be published. Raises ValueError for what isn't `first-last`."""
    first, _, last = policy.ports.range.partition("-")
    return range(int(first), int(last or first) + 1)


def port_problems(policy: HostPolicy) -> Iterator[str]:
    """Why ports can't be published as the policy says."""
    try:
        ip_address(policy.ports.address)
    except ValueError:
        yield f"policy.ports.address: {policy.ports.address!r} must be an IP address of the host, such as 127.0.0.1"
    try:
        ports = port_range(policy)
    except ValueError:
        ports = range(0)
    if not ports or ports.start < 1 or ports.stop > 1 << 16:
        yield f"policy.ports.range: {policy.ports.range!r} must be first-last, from 1 to 65535"


def _known(capability: str) -> bool:
    return capability_name(capability) in KNOWN | {ALL}
