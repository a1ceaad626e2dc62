"""What is installed without an image: the commands, and the unit for one host."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

from controller import __version__, settings
from devcluster import reload
from devcluster.paths import REPOSITORY
from tests.shipping import base_image
from tests.waiting import eventually

UNIT = REPOSITORY / "manifests" / "systemd" / "workspace-controller.service"


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
    assert f"workspace-controller:{__version__}" in (REPOSITORY / "docs" / "install.md").read_text()


def test_unit_starts_the_controller_with_arguments_that_it_knows() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == "/opt/workspace-controller/bin/workspace-controller"
    assert settings.parse(arguments).log_format == "json"
    installation = (REPOSITORY / "docs" / "install.md").read_text()
    assert unit["Service"]["Environment"].removeprefix("KUBECONFIG=") in installation


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
