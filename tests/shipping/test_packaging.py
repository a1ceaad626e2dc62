"""What is installed without an image: the commands, and the unit for one host."""

from __future__ import annotations

import configparser
import logging
import re
import shlex
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from controller import __version__, filelock, settings
from devcluster import reload
from devcluster.paths import REPOSITORY
from tests.shipping import base_image
from tests.shipping.test_docs import blocks
from tests.waiting import eventually

UNIT = REPOSITORY / "manifests" / "systemd" / "workspace-controller.service"
INSTALL = REPOSITORY / "docs" / "install.md"


def sections(text: str) -> configparser.ConfigParser:
    """A unit or drop-in of systemd; of a key that comes again the last one."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    return unit


def test_package_brings_both_commands_and_one_version(context: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([base_image.PYTHON, "-m", "venv", venv], check=True)
    offline = ("--quiet", "--no-index", "--find-links", str(context / "wheels"))
    subprocess.run([venv / "bin" / "pip", "install", *offline, "."], cwd=context, check=True)
    for command in ("workspace-controller", "kubectl-workspace"):
        done = subprocess.run(
            [venv / "bin" / command, "--version"], cwd="/", capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == __version__


def test_version_is_said_in_one_place_and_known_to_the_changelog() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert f"workspace-controller:{__version__}" in INSTALL.read_text()


def test_every_dependency_is_installed_in_the_version_that_is_locked() -> None:
    locked = (line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line)
    versions = {canonicalize_name(name): version for name, version in locked}
    installed = {name: metadata.version(name) for name in _needed("workspace-controller", {"dev"})}
    assert installed == {name: versions.get(name, "not locked: `make lock`") for name in installed}


def _needed(project: str, extras: set[str]) -> set[str]:
    """The names of all that is installed for it."""
    needed: set[str] = set()
    todo = [(project, extras)]
    while todo:
        name, wanted = todo.pop()
        for need in map(Requirement, metadata.requires(name) or ()):
            asked = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in {"", *wanted})
            if asked and canonicalize_name(need.name) not in needed:
                needed.add(canonicalize_name(need.name))
                todo.append((need.name, need.extras))
    return needed


def test_unit_starts_the_controller_with_arguments_that_it_knows() -> None:
    unit = sections(UNIT.read_text())
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == "/opt/workspace-controller/bin/workspace-controller"
    assert settings.parse(arguments).log_format == "json"
    assert unit["Service"]["Environment"].removeprefix("KUBECONFIG=") in INSTALL.read_text()


def test_unit_and_container_share_the_lock_file_with_the_rest_of_the_machine() -> None:
    service = sections(UNIT.read_text())["Service"]
    assert (service["ProtectSystem"], service["PrivateTmp"]) == ("strict", "yes")  # so that nothing else is shared
    assert service["ReadWritePaths"] == f"-{filelock.SHARED}"  # the unit starts where there is none, and tells of it
    assert f"-v {filelock.SHARED}:{filelock.SHARED}" in INSTALL.read_text()


def test_a_lock_that_others_do_not_see_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filelock, "SHARED", tmp_path)
    assert filelock.lock_path("c").parent == tmp_path
    assert caplog.records == []
    monkeypatch.setattr(filelock, "SHARED", tmp_path / "absent")
    assert filelock.lock_path("c").parent != tmp_path
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_drop_in_of_the_installation_adds_leader_election_and_nothing_else() -> None:
    (drop_in,) = blocks(INSTALL, "ini")
    command = sections(drop_in)["Service"]["ExecStart"]
    assert command == sections(UNIT.read_text())["Service"]["ExecStart"] + " --leader-elect"
    assert settings.parse(shlex.split(command)[1:]).leader_elect


def test_controller_is_started_once_its_kinds_rights_and_login_are_there() -> None:
    text = INSTALL.read_text()
    alone = text[text.index("## On one host") :]
    needed = ("apply --server-side -k crds", "apply -k manifests/rbac", "create token", "config use-context")
    for start in ("systemctl enable --now", "docker run -d"):
        assert max(alone.index(step) for step in needed) < alone.index(start)


def test_inner_loop_starts_a_command_again_when_its_code_changes(tmp_path: Path) -> None:
    code, runs = tmp_path / "code.py", tmp_path / "runs"
    code.write_text("first = 1\n")
    runs.touch()
    command = [sys.executable, "-c", f"open({str(runs)!r}, 'a').write('run ')"]
    stop = threading.Event()
    thread = threading.Thread(target=reload.run, args=(tmp_path, command, stop))
    thread.start()
    try:
        eventually(lambda: runs.read_text() == "run ")
        code.write_text("second = 2\n")
        eventually(lambda: runs.read_text() == "run run ")
    finally:
        stop.set()
        thread.join()
