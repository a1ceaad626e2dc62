"""The image as it is shipped, built once for all tests, and the end-to-end fixtures."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devcluster import Engine
from devcluster.paths import REPOSITORY
from tests.clean import wipe
from tests.e2e.conftest import make_stack, own_cluster, stack  # noqa: F401 - fixtures
from tests.shipping import base_image

IMAGE = "workspace-controller:test"
_CONTEXT = (
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
    "Dockerfile",
    ".dockerignore",
    "controller",
    "devcluster",
)


@pytest.fixture(scope="module", autouse=True)
def _clean_slate(request: pytest.FixtureRequest) -> None:
    """Each module brings its own DockerHost `default`, whose endpoint never changes."""
    wipe(request.getfixturevalue("control_plane"))


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is shipped of the checkout, with wheels/ beside it, so that nothing is downloaded."""
    return _context(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="session")
def image(engine: Engine, context: Path) -> str:
    """The name of the image, built on a base made here, with no network."""
    build(engine, context, base_image.load(engine), IMAGE)
    return IMAGE


def build(engine: Engine, context: Path, base: str, tag: str, target: str | None = None) -> None:
    """docker build, with the builder that every Docker has."""
    command = ["docker", "--host", engine.endpoint, "build", "--quiet", "--network", "none", "--tag", tag]
    command += ["--build-arg", f"BASE={base}", *(["--target", target] if target else []), str(context)]
    done = subprocess.run(command, env=os.environ | {"DOCKER_BUILDKIT": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _context(folder: Path) -> Path:
    """The checkout, with wheels/ beside it."""
    for name in _CONTEXT:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    shutil.copytree(base_image.wheels(), folder / "wheels")
    return folder
