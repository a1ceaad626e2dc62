"""Which subnet the next bridge gets."""

import pytest

from controller.engine.subnets import free_subnet
from controller.errors import NetworkUnavailable


@pytest.mark.parametrize(
    "taken",
    [
        ["10.0.0.0/24"],
        ["10.0.0.1/24"],  # Docker's own `bip`, and what engines before 25 took
        ["10.0.0.128/25", "fd00::/64", "192.168.0.0/16"],
    ],
)
def test_the_first_that_overlaps_with_none_is_taken(taken: list[str]) -> None:
    assert free_subnet("10.0.0.0/16", 24, taken) == "10.0.1.0/24"


def test_none_is_left() -> None:
    with pytest.raises(NetworkUnavailable, match=r"no free /24"):
        free_subnet("10.0.0.0/23", 24, ["10.0.0.7/23"])
