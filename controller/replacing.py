"""The names of two containers while one takes the other's place. Pure.

A container has its name before it starts: the name is told with it, and people use it. So its predecessor steps aside.
That costs no time while the new one is made, and much of it once it has ended: the engine holds its lock then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from controller import actions as act
from controller.naming import NEXT_SUFFIX, OLD_SUFFIX
from controller.observed import Container

REPLACED = "another container takes its place"
TAKES_PLACE = "it takes the other one's place"


@dataclass(frozen=True, slots=True)
class Succession:
    """The name that a new container is made with, and the renames before, while and after it is made."""

    spare: str
    before: tuple[act.Rename, ...]
    meanwhile: tuple[act.Rename, ...]
    after: tuple[act.Rename, ...]


def succession(name: str, main: Container, used: Collection[str]) -> Succession:
    """How the successor of `main` gets `name`; `used`: the names of all containers of the Workspace.

    Where a new one could not be made, the predecessor has its name back before anything else. A name that can't be had
    (by one that is dead) keeps nothing from being made: `take_name` has another look later.
    """
    before = tuple(name_back(name, main, used, quiet=True))
    taken = set(used) - {main.name} | {name} if before else set(used)
    free = [n for n in (name + NEXT_SUFFIX, name, name + OLD_SUFFIX) if n not in taken]
    spare = free[0] if free else name + NEXT_SUFFIX
    if not (before or main.name == name) or name + OLD_SUFFIX not in free[1:]:
        return Succession(spare, before, (), ())
    aside = act.Rename(main.id, name + OLD_SUFFIX, quiet=True, alongside=True, reason=REPLACED)
    return Succession(spare, before, (aside,), (act.Rename(None, name, quiet=True, reason=TAKES_PLACE),))


def name_back(name: str, main: Container, used: Collection[str], *, quiet: bool = False) -> Iterator[act.Rename]:
    """Where `main` is called otherwise, and nobody has its name."""
    if name not in used:
        yield act.Rename(main.id, name, quiet=quiet, reason=f"it is called {main.name}")


def take_name(name: str, main: Container, containers: Iterable[Container]) -> Iterator[act.Rename]:
    """Gives `main` its name before it starts. Where that can't be had yet, the name comes last."""
    used = {container.name: container for container in containers}
    asides = [n for n in (name + OLD_SUFFIX, name + NEXT_SUFFIX) if n not in used]
    holder = used.get(name)
    if holder is main or (holder is not None and (holder.is_dead or not asides)):
        return
    if holder is not None:
        yield act.Rename(holder.id, asides[0], quiet=True, reason=REPLACED)
    yield act.Rename(main.id, name, quiet=True, reason=TAKES_PLACE)
