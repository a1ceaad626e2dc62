"""What is read of Secrets and ConfigMaps for an environment, and how much of it is held."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from controller.errors import ConfigurationError
from controller.kube import Data
from controller.policy import MAX_ENV_BYTES
from controller.references import References
from tests.unit.pairs import desired

KEYS = 10


class _Kube:
    """Every object has KEYS keys of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.reads: Counter[str] = Counter()
        self._size = size

    async def data(self, kind: str, namespace: str, name: str) -> Data:
        self.reads[f"{kind}/{name}"] += 1
        return Data("1:1", {f"k{number}": "x" * self._size for number in range(KEYS)})


async def resolved(size: int, spec: dict[str, Any]) -> tuple[dict[str, str], _Kube]:
    kube = _Kube(size)
    made: Any = kube
    env, _ = await References(made, lambda: (), lambda source: None).resolve(desired(spec).container)
    return env, kube


def key_of(secret: str, key: str = "k1") -> dict[str, Any]:
    return {"name": f"V_{secret.upper()}_{key.upper()}", "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


async def test_each_object_is_read_once_and_only_its_wanted_keys_come() -> None:
    env, kube = await resolved(4, {"env": [key_of("a"), key_of("a", "k2"), key_of("b")]})
    assert env == {"V_A_K1": "xxxx", "V_A_K2": "xxxx", "V_B_K1": "xxxx"}
    assert kube.reads == {"Secret/a": 1, "Secret/b": 1}


async def test_keys_that_nobody_asks_for_count_nothing() -> None:
    env, _ = await resolved(MAX_ENV_BYTES // 4, {"env": [key_of("a"), key_of("b")]})
    assert len(env) == 2


async def test_more_than_a_container_can_be_given_is_refused_before_all_of_it_is_read() -> None:
    spec = {"envFrom": [{"configMapRef": {"name": f"c{number}"}} for number in range(32)]}
    kube: Any = _Kube(MAX_ENV_BYTES // 20)
    with pytest.raises(ConfigurationError, match=str(MAX_ENV_BYTES)):
        await References(kube, lambda: (), lambda source: None).resolve(desired(spec).container)
    assert sum(kube.reads.values()) <= 3


async def test_whoever_reads_a_changed_object_all_its_users_hear_of_it() -> None:
    version, changed = "1:1", []

    class Kube:
        async def data(self, kind: str, namespace: str, name: str) -> Data:
            return Data(version, {"k1": "x"})

    made: Any = Kube()
    references = References(made, lambda: (), changed.append)
    spec = desired({"env": [key_of("a")]}).container
    await references.resolve(spec)
    assert not changed
    version = "1:2"
    await references.resolve(spec)  # one of them is made anew
    await references.resolve(spec)
    assert changed == [(spec.namespace, "Secret", "a")]
