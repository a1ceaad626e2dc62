"""Workspaces, good and bad: CPU, memory, processes."""

from typing import Any

from tests.unit.api.objects import Case, Object, workspace

_CPU, _MEMORY = "spec.resources.limits.cpu", "spec.resources.limits.memory"


def _limits(**limits: Any) -> Object:
    return workspace(resources={"limits": limits})


def _requests(**requests: Any) -> Object:
    return workspace(resources={"requests": requests})


QUANTITIES = (
    *(
        Case(f"memory {value!r}", _limits(memory=value))
        for value in ("256Mi", "6Mi", "6291456", 6291456, "0.5Gi", "1e9", "1E9", "2G", "+2G", ".5Gi", "7.M")
    ),
    *(
        Case(f"memory {value!r}", _limits(memory=value), _MEMORY)
        for value in ("256 Mi", "256MB", "256mi", "lots", "", "-1Gi", "0", 0, -1, "5Mi", "6291455", "6291455.5", "2Pi",
                      "1e99", "1e999999999", "0x10000000", "1_000Mi", "256Mi\n", 1.5, True, "Infinity", "9E", "1" * 33)
    ),
    *(Case(f"{value!r} CPUs", _limits(cpu=value)) for value in ("250m", "0.5", 2, "1e3", "10m", "10000u", "4096")),
    *(
        Case(f"{value!r} CPUs", _limits(cpu=value), _CPU)
        for value in ("-1", 0, "0", "9m", "1n", "4097", "1Ki2", "two", "m", ".", 0.5, ["1"], {"a": 1})
    ),
    Case("a request of 1m CPU", _requests(cpu="1m")),
    Case("a request of 0.9m CPU", _requests(cpu="900u"), "spec.resources.requests.cpu"),
    Case("a request of 5Mi", _requests(memory="5Mi"), "spec.resources.requests.memory"),
    Case("a request of pids", _requests(pids=5), "spec.resources.requests.pids"),
    Case("no pids", _limits(pids=0), "spec.resources.limits.pids"),
    Case("pids as a quantity", _limits(pids="1k"), "spec.resources.limits.pids"),
    Case("unlimited pids", _limits(pids=-1), "spec.resources.limits.pids"),
    Case(
        "a request above its limit of memory",
        workspace(resources={"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}),
        "spec.resources.requests.memory",
    ),
    Case(
        "a request above its limit of CPU",
        workspace(resources={"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}),
        "spec.resources.requests.cpu",
    ),
    Case("a request that is its limit", workspace(resources={"requests": {"cpu": 2}, "limits": {"cpu": "2000m"}})),
    Case("GPUs", _limits(**{"nvidia.com/gpu": 1}), "spec.resources.limits"),
)  # fmt: skip
