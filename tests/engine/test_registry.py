"""Pulling from a real registry that asks for a password, on both Docker engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from controller.engine.dockerd import DockerdEngine
from controller.engine.images import PullProgress
from controller.engine.protocol import Credentials
from controller.errors import ImageError, ImageUnavailable, WorkspaceError
from devcluster import Engine as Dockerd
from devcluster.sample import archive
from tests.engine.specs import CLUSTER
from tests.security.registry import PASSWORD, USER, Registry

STALL = 3.0  # seconds


@dataclass
class Stage:
    """An engine, a registry in its network, and an image that only the registry has."""

    engine: DockerdEngine
    registry: Registry
    image: str

    def login(self, password: str = PASSWORD) -> Credentials:
        return Credentials(self.registry.address, USER, password)

    async def pull(self, image: str, credentials: Credentials | None) -> list[str]:
        return [progress async for progress in self.engine.pull(image, credentials)]


@pytest.fixture(scope="module", params=["engine", "engine29"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    dockerd: Dockerd = request.getfixturevalue(request.param)
    started = Registry(dockerd, tmp_path_factory.mktemp("registry"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture
async def stage(registry: Registry) -> AsyncIterator[Stage]:
    dockerd = registry.engine
    dockerd.load(archive("made-app:1", config={"Env": ["MADE=1"]}))
    image = registry.push("made-app:1", "team-a/app:1")
    dockerd.docker("rmi", "made-app:1")
    engine = DockerdEngine(CLUSTER, dockerd.endpoint, pull_stall=STALL)
    try:
        yield Stage(engine, registry, image)
    finally:
        await engine.close()
        for leftover in (image, "made-app:1"):
            if dockerd.has_image(leftover):
                dockerd.docker("rmi", leftover)


async def test_pulled_image_is_there_and_from_a_registry(stage: Stage) -> None:
    assert await stage.engine.image(stage.image) is None
    progress = await stage.pull(stage.image, stage.login())
    assert progress
    found = await stage.engine.image(stage.image)
    assert found is not None
    assert found.from_registry
    assert found.digests


async def test_image_that_was_made_here_stays_so_beside_a_pulled_one(stage: Stage) -> None:
    await stage.pull(stage.image, stage.login())
    found = await stage.engine.image("alpine:latest")
    assert found is not None
    assert not found.from_registry


async def test_pull_by_digest_gets_the_same_image(stage: Stage) -> None:
    await stage.pull(stage.image, stage.login())
    by_tag = await stage.engine.image(stage.image)
    assert by_tag is not None
    reference = next(digest for digest in by_tag.digests if digest.startswith(stage.registry.address))
    await stage.pull(reference, stage.login())
    by_digest = await stage.engine.image(reference)
    assert by_digest is not None
    assert by_digest.id == by_tag.id


@pytest.mark.parametrize("password", [None, "guessed"])
async def test_without_the_password_access_is_denied(stage: Stage, password: str | None) -> None:
    with pytest.raises(ImageUnavailable) as raised:
        await stage.pull(stage.image, stage.login(password) if password else None)
    assert raised.value.reason == "ImageAccessDenied"
    assert "guessed" not in str(raised.value)


async def test_missing_tag_is_not_found(stage: Stage) -> None:
    with pytest.raises(ImageUnavailable) as raised:
        await stage.pull(stage.image + "-none", stage.login())
    assert raised.value.reason == "ImageNotFound"


async def test_right_to_pull_is_asked_without_pulling(stage: Stage) -> None:
    assert await stage.engine.may_pull(stage.image, stage.login())
    assert not await stage.engine.may_pull(stage.image, None)
    assert not await stage.engine.may_pull(stage.image, stage.login("guessed"))
    assert not await stage.engine.may_pull(stage.image + "-none", stage.login())
    assert await stage.engine.image(stage.image) is None


async def test_registry_that_is_down_is_no_definitive_answer(stage: Stage) -> None:
    nowhere = "127.0.0.1:1/team-a/app:1"
    for asking in (stage.pull(nowhere, None), stage.engine.may_pull(nowhere, None)):
        with pytest.raises(ImageError) as raised:
            await asking
        assert not raised.value.definitive


async def test_registry_that_can_not_be_found_has_denied_nothing(stage: Stage) -> None:
    with pytest.raises(ImageError) as raised:
        await stage.engine.may_pull("registry.invalid/team-a/app:1", None)
    assert raised.value.reason == "ErrImagePull"


async def test_pull_without_progress_is_given_up(stage: Stage) -> None:
    stage.registry.pause()
    try:
        began = time.monotonic()
        with pytest.raises(ImageError, match="no progress"):
            await stage.pull(stage.image, stage.login())
        assert STALL - 0.5 < time.monotonic() - began < STALL + 3
    finally:
        stage.registry.resume()


async def test_cancelled_pull_ends_at_once(stage: Stage) -> None:
    stage.registry.pause()
    try:
        pulling = asyncio.create_task(stage.pull(stage.image, stage.login()))
        await asyncio.sleep(0.5)
        pulling.cancel()
        await asyncio.wait_for(asyncio.wait([pulling]), 1)
        assert pulling.cancelled()
    finally:
        stage.registry.resume()


def test_progress_tells_layers_and_megabytes() -> None:
    now = 0.0
    progress = PullProgress(lambda: now)
    assert progress.take({"status": "Pulling from team-a/app", "id": "1"})
    assert progress.take({"status": "Already exists", "id": "a"})
    assert progress.take(
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 2_000_000, "total": 5_000_000}}
    )
    assert str(progress) == "1 of 2 layers, downloading 2.0 of 5.0 MB"


def test_countdowns_and_repetitions_are_no_progress() -> None:
    now = 0.0
    progress = PullProgress(lambda: now)
    downloading = {"status": "Downloading", "id": "b", "progressDetail": {"current": 1, "total": 5}}
    assert progress.take(downloading)
    now = 9.0
    assert not progress.take(downloading)
    assert not progress.take({"status": "Retrying in 5 seconds", "id": "b"})
    assert progress.idle() == 9.0


async def test_bad_reference_is_told_apart(stage: Stage) -> None:
    with pytest.raises(WorkspaceError) as raised:
        await stage.pull("not a reference", None)
    assert raised.value.reason == "InvalidImageName"
