"""What is read of Secrets and ConfigMaps for an environment, and how much of it is held."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from controller.clock import mono
from controller.container_spec import KeyRef
from controller.errors import ConfigurationError
from controller.kube import Data
from controller.policy import MAX_ENV_BYTES
from controller.references import LOOK, RECHECK_SECONDS, References, Source
from tests.unit.pairs import desired
from tests.virtual_time import virtual_time

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


class _Store:
    """One Secret, which changes; an answer can take long."""

    def __init__(self) -> None:
        self.version, self.latency = "1:1", 0.0
        self.times: dict[str, list[float]] = defaultdict(list)  # by name: when it was read

    async def data(self, kind: str, namespace: str, name: str) -> Data:
        self.times[name].append(mono())
        found, latency = Data(self.version, {}), self.latency
        await asyncio.sleep(latency)
        return found


@virtual_time
async def test_an_older_answer_that_comes_later_does_not_replace_a_newer_one() -> None:
    changed: list[Source] = []
    store: Any = _Store()
    references = References(store, lambda: (), changed.append)
    spec = desired({"env": [key_of("a")]}).container
    await references.learn(spec.namespace, spec.references)
    store.latency = 8.0
    slow = asyncio.create_task(references.learn(spec.namespace, spec.references, again=True))
    await asyncio.sleep(1)
    store.version, store.latency = "1:2", 0.0
    await references.learn(spec.namespace, spec.references, again=True)
    await slow
    assert references.versions(spec.namespace, spec.references) == {"Secret/a": "1:2"}
    assert changed == [(spec.namespace, "Secret", "a")]


@pytest.mark.parametrize("count", [1, 2, 10])
@virtual_time
async def test_each_object_in_use_is_read_again_within_five_minutes_whenever_it_came(count: int) -> None:
    store: Any = _Store()
    used: list[Source] = []
    references = References(store, lambda: used, lambda source: None)
    looking = asyncio.create_task(references.run())
    for number in range(count):
        await asyncio.sleep(40)
        used.append(("team", "Secret", f"s{number}"))
        await references.learn("team", [KeyRef("Secret", f"s{number}", "k1")])
    await asyncio.sleep(1500)
    looking.cancel()
    for times in store.times.values():
        gaps = [later - earlier for earlier, later in pairwise([*times, mono()])]
        assert max(gaps) <= RECHECK_SECONDS + LOOK


@virtual_time
async def test_an_object_that_nobody_uses_any_more_is_not_read_again_for_ever() -> None:
    store: Any = _Store()
    references = References(store, lambda: (), lambda source: None)
    looking = asyncio.create_task(references.run())
    await references.learn("team", [KeyRef("Secret", "a", "k1")])
    await asyncio.sleep(2 * RECHECK_SECONDS)
    read = len(store.times["a"])
    await asyncio.sleep(10 * RECHECK_SECONDS)
    looking.cancel()
    assert len(store.times["a"]) == read
