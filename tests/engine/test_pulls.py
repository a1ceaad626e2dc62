"""Pulling in the background: shared, never waited for, and each tenant shows its own right. On the memory engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from controller.api import PullPolicy
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.engine.protocol import Credentials
from controller.engine.pulls import RIGHTS_LAST, ImagePuller, Present, Pulling
from controller.errors import ImageError, ImageUnavailable
from tests.engine.specs import CLUSTER
from tests.virtual_time import virtual_time

APP = "registry.example.com/team-a/app:1"
ALICE = Credentials("registry.example.com", "alice", "secret")
SHOP, OTHER, FOREIGN = ("team-a", "shop"), ("team-a", "other"), ("team-b", "shop")


@dataclass
class Scene:
    """A host without the image, a registry that has it, and the puller."""

    host: MemoryHost
    puller: ImagePuller
    done: list[set[tuple[str, str]]]

    async def ensure(
        self,
        waiter: tuple[str, str] = SHOP,
        policy: PullPolicy = PullPolicy.IF_NOT_PRESENT,
        credentials: Credentials | None = None,
        image: str = APP,
    ) -> Present | Pulling:
        return await self.puller.ensure(image, policy, credentials, waiter)

    async def pulled(self, waiter: tuple[str, str] = SHOP, **options: object) -> None:
        """Asks until it's there."""
        assert isinstance(await self.ensure(waiter, **options), Pulling)  # type: ignore[arg-type]
        await asyncio.sleep(60)
        assert isinstance(await self.ensure(waiter, **options), Present)  # type: ignore[arg-type]

    @property
    def looks(self) -> int:
        """How often the host was asked for an image."""
        return self.host.faults.calls["image"]

    @property
    def calls(self) -> tuple[int, int]:
        """Pulls, and questions to the registry."""
        return self.host.faults.calls["pull"], self.host.faults.calls["may_pull"]


@asynccontextmanager
async def scene(*, private: bool = False) -> AsyncIterator[Scene]:
    host = MemoryHost()
    host.registry.push(APP, users={"alice": "secret"} if private else None)
    host.faults.latency["pull"] = 50.0
    done: list[set[tuple[str, str]]] = []
    puller = ImagePuller(MemoryEngine(CLUSTER, host), done.append, asyncio.get_running_loop().time)
    yield Scene(host, puller, done)
    await puller.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_image_made_on_the_host_needs_no_registry() -> None:
    async with scene() as it:
        it.host.registry.down = "no route to host"
        assert isinstance(await it.ensure(image="alpine"), Present)
        assert it.calls == (0, 0)


@virtual_time
async def test_workspaces_made_together_share_a_look_at_their_image() -> None:
    async with scene() as it:
        it.host.faults.latency["image"] = 0.5
        it.puller.look_ahead("alpine")
        for waiter in (SHOP, OTHER, FOREIGN):
            assert isinstance(await it.ensure(waiter, image="alpine"), Present)
        assert it.looks == 1
        await asyncio.sleep(1)
        it.host.images.clear()
        assert isinstance(await it.ensure(image="alpine"), Pulling)


@virtual_time
async def test_what_a_pull_brings_is_seen_however_lately_the_image_was_looked_at() -> None:
    async with scene() as it:
        it.host.faults.latency["pull"] = 0.5
        it.puller.look_ahead(APP)
        assert isinstance(await it.ensure(), Pulling)
        await asyncio.sleep(0.6)
        it.puller.look_ahead(APP)
        assert isinstance(await it.ensure(), Present)
        newer = it.host.registry.push(APP)
        assert isinstance(await it.ensure(OTHER, PullPolicy.ALWAYS), Pulling)
        await asyncio.sleep(0.6)
        assert await it.ensure(OTHER, PullPolicy.ALWAYS) == Present(newer)


@virtual_time
async def test_a_look_that_failed_or_found_nothing_is_nobody_elses() -> None:
    async with scene() as it:
        it.host.faults.fail("image", ImageError("disk I/O error"))
        it.puller.look_ahead("alpine")
        with pytest.raises(ImageError, match="disk"):
            await it.ensure(image="alpine")
        assert isinstance(await it.ensure(image="alpine"), Present)
        with pytest.raises(ImageUnavailable, match="Never"):
            await it.ensure(policy=PullPolicy.NEVER)
        await it.pulled()


@virtual_time
async def test_who_is_cancelled_takes_the_look_from_no_one_else() -> None:
    async with scene() as it:
        it.host.faults.latency["image"] = 0.5
        one, other = (asyncio.create_task(it.ensure(waiter, image="alpine")) for waiter in (SHOP, OTHER))
        await asyncio.sleep(0.1)
        one.cancel()
        assert isinstance(await other, Present)
        assert one.cancelled()
        assert it.looks == 1


@virtual_time
async def test_missing_image_is_pulled_without_waiting() -> None:
    async with scene() as it:
        began = asyncio.get_running_loop().time()
        assert isinstance(await it.ensure(), Pulling)
        assert asyncio.get_running_loop().time() == began
        await asyncio.sleep(60)
        assert it.done == [{SHOP}]
        assert isinstance(await it.ensure(), Present)
        assert it.calls == (1, 0)


@virtual_time
async def test_those_who_need_the_same_share_one_pull() -> None:
    async with scene() as it:
        for waiter in (SHOP, OTHER, FOREIGN, SHOP):
            assert isinstance(await it.ensure(waiter), Pulling)
        await asyncio.sleep(60)
        assert it.done == [{SHOP, OTHER, FOREIGN}]
        for waiter in (SHOP, OTHER, FOREIGN):
            assert isinstance(await it.ensure(waiter), Present)
        assert it.calls == (1, 0)


@virtual_time
async def test_a_failed_pull_is_told_to_each_waiter_once_and_then_tried_anew() -> None:
    async with scene() as it:
        it.host.registry.down = "connection refused"
        await it.ensure(SHOP)
        await it.ensure(OTHER)
        await asyncio.sleep(60)
        for waiter in (SHOP, OTHER):
            with pytest.raises(ImageError, match="connection refused"):
                await it.ensure(waiter)
        it.host.registry.down = ""
        await it.pulled()


@virtual_time
async def test_image_that_does_not_exist_is_a_definitive_answer() -> None:
    async with scene() as it:
        await it.ensure(image="registry.example.com/team-a/none:1")
        await asyncio.sleep(60)
        with pytest.raises(ImageUnavailable) as raised:
            await it.ensure(image="registry.example.com/team-a/none:1")
        assert raised.value.reason == "ImageNotFound"


@virtual_time
async def test_never_does_not_pull() -> None:
    async with scene() as it:
        with pytest.raises(ImageUnavailable) as raised:
            await it.ensure(policy=PullPolicy.NEVER)
        assert raised.value.reason == "ErrImageNeverPull"
        assert it.calls == (0, 0)


@virtual_time
async def test_always_pulls_for_each_use_once() -> None:
    async with scene() as it:
        await it.pulled(policy=PullPolicy.ALWAYS)
        await it.pulled(policy=PullPolicy.ALWAYS)
        assert it.calls == (2, 0)


@virtual_time
async def test_always_gets_what_was_pushed_since() -> None:
    async with scene() as it:
        await it.pulled(policy=PullPolicy.ALWAYS)
        newer = it.host.registry.push(APP)
        await it.ensure(policy=PullPolicy.ALWAYS)
        await asyncio.sleep(60)
        assert await it.ensure(policy=PullPolicy.ALWAYS) == Present(newer)


@virtual_time
async def test_another_tenants_private_image_is_refused_without_credentials() -> None:
    async with scene(private=True) as it:
        await it.pulled(SHOP, credentials=ALICE)
        for policy in (PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER):
            with pytest.raises(ImageUnavailable) as raised:
                await it.ensure(FOREIGN, policy)
            assert raised.value.reason == "ImageAccessDenied"
        with pytest.raises(ImageUnavailable):
            await it.ensure(FOREIGN, credentials=Credentials("registry.example.com", "alice", "guessed"))
        assert isinstance(await it.ensure(FOREIGN, credentials=ALICE), Present)


@virtual_time
async def test_the_right_to_pull_is_asked_for_once_in_a_while() -> None:
    async with scene() as it:
        await it.pulled(SHOP)
        for _ in range(3):
            assert isinstance(await it.ensure(OTHER), Present)
            assert isinstance(await it.ensure(FOREIGN), Present)
        assert it.calls == (1, 1)
        await asyncio.sleep(RIGHTS_LAST + 60)
        assert isinstance(await it.ensure(FOREIGN), Present)
        assert it.calls == (1, 2)


@virtual_time
async def test_a_registry_that_is_down_does_not_give_a_right() -> None:
    async with scene() as it:
        await it.pulled(SHOP)
        it.host.registry.down = "no route to host"
        with pytest.raises(ImageError, match="no route"):
            await it.ensure(FOREIGN)
        assert isinstance(await it.ensure(SHOP), Present)


@virtual_time
async def test_a_slow_registry_holds_nobody_up() -> None:
    async with scene() as it:
        await it.pulled(SHOP)
        it.host.faults.latency["may_pull"] = 20.0
        assert isinstance(await it.ensure(FOREIGN), Pulling)
        await asyncio.sleep(30)
        assert it.done[-1] == {FOREIGN}
        assert isinstance(await it.ensure(FOREIGN), Present)


@virtual_time
async def test_pulls_of_many_images_are_bounded_for_the_host_and_for_each_namespace() -> None:
    async with scene() as it:
        for number in range(40):
            image = f"registry.example.com/app:{number}"
            it.host.registry.push(image)
            await it.ensure(("team-a", f"w{number}"), image=image)
        await asyncio.sleep(1)
        assert it.host.faults.in_flight["pull"] == 2
        for number in range(40):
            await it.ensure((f"team-{number}", "w"), image=f"registry.example.com/app:{39 - number}")
        for number in range(40):
            image = f"registry.example.com/other:{number}"
            it.host.registry.push(image)
            await it.ensure((f"team-{number}", "w"), image=image)
        await asyncio.sleep(1)
        assert it.host.faults.in_flight["pull"] == 16


@virtual_time
async def test_a_pull_that_nobody_wants_any_more_ends() -> None:
    async with scene() as it:
        it.host.registry.push("registry.example.com/team-a/app:2")
        await it.ensure(SHOP)
        await it.ensure(OTHER)
        await asyncio.sleep(1)
        await it.ensure(SHOP, image="registry.example.com/team-a/app:2")
        await asyncio.sleep(1)
        assert it.host.faults.in_flight["pull"] == 2
        it.puller.forget(OTHER)
        await asyncio.sleep(1)
        assert it.host.faults.in_flight["pull"] == 1
        assert isinstance(await it.ensure(OTHER), Pulling)
        await asyncio.sleep(60)
        assert isinstance(await it.ensure(OTHER), Present)


@virtual_time
async def test_the_right_to_an_image_under_one_name_is_none_under_another() -> None:
    async with scene(private=True) as it:
        await it.pulled(SHOP, credentials=ALICE)
        elsewhere = "registry.attacker.example.com/x:1"
        it.host.registry.push(elsewhere)
        it.host.images[elsewhere] = it.host.images[APP]
        assert isinstance(await it.ensure(FOREIGN, PullPolicy.ALWAYS, image=elsewhere), Pulling)
        await asyncio.sleep(60)
        await it.ensure(FOREIGN, PullPolicy.ALWAYS, image=elsewhere)
        with pytest.raises(ImageUnavailable, match="doesn't let this namespace pull"):
            await it.ensure(FOREIGN)


@virtual_time
async def test_a_registry_that_hangs_is_an_error_of_the_image() -> None:
    async with scene(private=True) as it:
        await it.pulled(SHOP, credentials=ALICE)
        it.host.faults.hang("may_pull")
        assert isinstance(await it.ensure(FOREIGN, credentials=ALICE), Pulling)
        await asyncio.sleep(60)
        with pytest.raises(ImageError, match="doesn't answer"):
            await it.ensure(FOREIGN, credentials=ALICE)


@virtual_time
async def test_credentials_are_nowhere_to_be_read() -> None:
    async with scene(private=True) as it:
        await it.ensure(credentials=ALICE)
        tasks = " ".join(repr(task) for task in asyncio.all_tasks())
        assert "secret" not in repr(vars(it.puller)) + repr(ALICE) + tasks


@virtual_time
async def test_what_was_pulled_for_who_never_asked_again_is_pulled_again_later() -> None:
    async with scene() as it:
        assert isinstance(await it.ensure(policy=PullPolicy.ALWAYS), Pulling)
        await asyncio.sleep(24 * 3600)
        assert isinstance(await it.ensure(policy=PullPolicy.ALWAYS), Pulling)
        await asyncio.sleep(60)
        assert isinstance(await it.ensure(policy=PullPolicy.ALWAYS), Present)
        assert it.calls[0] == 2


@virtual_time
async def test_a_workspace_that_is_made_anew_does_not_hear_of_the_pull_of_the_one_before() -> None:
    async with scene() as it:
        assert isinstance(await it.ensure(image="registry.example.com/none:1"), Pulling)
        await asyncio.sleep(60)
        it.puller.forget(SHOP)
        it.host.add_image("registry.example.com/none:1")  # somebody has loaded it
        assert isinstance(await it.ensure(image="registry.example.com/none:1"), Present)
