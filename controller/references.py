"""Secrets and ConfigMaps that containers' environments are read from: values when a container is made, versions after.

We may only `get` Secrets (no list, no watch), so each distinct referenced object is read once every 5 minutes to notice
that it changed. Values are never kept: what is remembered is the uid and resourceVersion.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable

from lightkube.core.exceptions import ApiError

from controller.clock import mono
from controller.container_spec import ContainerSpec, EnvVar, KeyRef
from controller.errors import ConfigurationError, ReferenceForbidden, ReferenceNotFound
from controller.kube import ApiUnavailable, Data, Kube
from controller.policy import MAX_ENV_BYTES

logger = logging.getLogger(__name__)
ABSENT = "absent"
RECHECK_SECONDS = 300.0
LOOK = 20.0  # seconds; what came meanwhile has its turn within the 5 minutes too
Source = tuple[str, str, str]  # namespace, kind, name


class References:
    """Versions of referenced objects. `users` gives the distinct sources in use; `on_change` hears of changed ones."""

    def __init__(self, kube: Kube, users: Callable[[], Iterable[Source]], on_change: Callable[[Source], None]) -> None:
        self._kube, self._users, self._on_change = kube, users, on_change
        self._versions: dict[Source, str] = {}  # what was asked for last comes last
        self._order = itertools.count()
        self._answered: dict[Source, int] = {}  # which question was answered last

    def versions(self, namespace: str, references: Iterable[KeyRef]) -> dict[str, str] | None:
        """`Kind/name` -> version as last read; None while one of them hasn't been read yet."""
        result = {}
        for ref in references:
            version = self._versions.get((namespace, ref.kind, ref.name))
            if version is None:
                return None
            result[f"{ref.kind}/{ref.name}"] = version
        return result

    async def learn(self, namespace: str, references: Iterable[KeyRef], *, again: bool = False) -> None:
        """Reads those that weren't read yet, or all `again`, so that `versions` can tell. Raises ApiUnavailable."""
        for ref in references:
            source = (namespace, ref.kind, ref.name)
            if again or source not in self._versions:
                with contextlib.suppress(ReferenceForbidden):  # told when a container needs the value
                    await self._read(source)
                self._versions.setdefault(source, ABSENT)

    async def resolve(self, spec: ContainerSpec) -> tuple[dict[str, str], str]:
        """The environment with its values, and the text for the references label.

        Raises:
            ReferenceNotFound: an object or a key that isn't optional is missing; the message names both.
            ReferenceForbidden: we have no right to read an object.
            ConfigurationError: it is more than a container can be given.
            ApiUnavailable: the API server didn't answer.
        """
        wanted, data, size = _wanted(spec.env), {}, 0
        for ref in spec.references:
            found = await self._read((spec.namespace, ref.kind, ref.name))
            data[(ref.kind, ref.name)] = found = found.only(wanted[(ref.kind, ref.name)]) if found else None
            size += sum(len(key) + len(value) for key, value in found.values.items()) if found else 0
            if size > MAX_ENV_BYTES:  # before more of it is held
                raise ConfigurationError(f"env: Secrets and ConfigMaps bring more than {MAX_ENV_BYTES} bytes")
        env: dict[str, str] = {}
        for variable in spec.env:
            env.update(_values(variable, data, spec.namespace))
        label = ",".join(f"{kind}/{name}={found.version if found else ABSENT}" for (kind, name), found in data.items())
        return env, label

    async def run(self) -> None:
        """Looks at every source in use again, spread over 5 minutes so that there is never a burst."""
        looked = pruned = mono()
        while True:
            await asyncio.sleep(min(LOOK, looked + self._pause() - mono()))
            if mono() >= pruned + RECHECK_SECONDS:
                pruned = mono()
                for gone in self._versions.keys() - set(self._users()):
                    del self._versions[gone]
                    self._answered.pop(gone, None)
            if mono() >= looked + self._pause():
                looked = mono()
                await self._recheck_next()

    def _pause(self) -> float:
        """Seconds from one look to the next."""
        return RECHECK_SECONDS / max(1, len(self._versions))

    async def _recheck_next(self) -> None:
        if self._versions:
            source = next(iter(self._versions))  # what was read longest ago
            self._versions[source] = self._versions.pop(source)
            await self._recheck(source)

    async def _recheck(self, source: Source) -> None:
        try:
            await self._read(source)
        except (ApiUnavailable, ApiError, ReferenceForbidden) as error:
            logger.warning("a reference can't be read", extra={"reference": "/".join(source), "error": str(error)})

    async def _read(self, source: Source) -> Data | None:
        """Whoever it is read for, all who use it hear that it has changed."""
        namespace, kind, name = source
        asked = next(self._order)
        found = await self._kube.data(kind, namespace, name)
        if asked < self._answered.get(source, asked):
            return found  # a later question was answered sooner: this one's answer is older
        self._answered[source] = asked
        before, version = self._versions.pop(source, None), found.version if found else ABSENT
        self._versions[source] = version
        if before not in (None, version):
            self._on_change(source)
        return found


def _wanted(env: Iterable[EnvVar]) -> dict[tuple[str, str], set[str] | None]:
    """By object which of its keys are asked for; None for all."""
    wanted: dict[tuple[str, str], set[str] | None] = {}
    for ref in (variable.source for variable in env):
        if ref is not None:
            keys = wanted.setdefault((ref.kind, ref.name), set())
            wanted[(ref.kind, ref.name)] = None if keys is None or ref.key is None else keys | {ref.key}
    return wanted


def _values(variable: EnvVar, data: dict[tuple[str, str], Data | None], namespace: str) -> dict[str, str]:
    ref = variable.source
    if ref is None:
        return {variable.name: variable.value}
    found = data[(ref.kind, ref.name)]
    where = f"{ref.kind} {ref.name!r} in namespace {namespace!r}"
    if found is None:
        if ref.optional:
            return {}
        raise ReferenceNotFound(
            f"{where} does not exist: create it, or make the reference optional",
            reason=f"{ref.kind}NotFound",
        )
    if ref.key is None:
        return {variable.name + key: value for key, value in found.values.items()}
    if ref.key in found.values:
        return {variable.name: found.values[ref.key]}
    if ref.optional:
        return {}
    raise ReferenceNotFound(
        f"{where} has no key {ref.key!r}: add it, or make the reference optional",
        reason=f"{ref.kind}KeyNotFound",
    )
