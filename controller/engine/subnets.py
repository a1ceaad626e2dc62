"""Picks subnets for bridges: Docker's own default pools end at about 31 networks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network

from controller.errors import NetworkUnavailable


def free_subnet(base: str, size: int, taken: Iterable[str]) -> str:
    """The first subnet of `size` bits in `base` that overlaps with none of `taken`. Raises NetworkUnavailable.

    `taken` is other people's too, and may be written as an address in its network, such as Docker's own `bip`.
    """
    pool = IPv4Network(base)
    networks = (ip_network(text, strict=False) for text in taken)
    used = sorted(n for n in networks if isinstance(n, IPv4Network) and n.overlaps(pool))
    for candidate in pool.subnets(new_prefix=size):
        if not any(candidate.overlaps(n) for n in used):
            return str(candidate)
    raise NetworkUnavailable(
        f"the host's address pool {base} has no free /{size} subnet left; "
        "widen the DockerHost's spec.policy.addressPool or remove networks that nobody uses"
    )
