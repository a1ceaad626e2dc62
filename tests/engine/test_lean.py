"""What the controller's process doesn't import, because it would only take memory."""

from __future__ import annotations

import subprocess
import sys


def _prints(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_controller_imports_neither_ssh_nor_what_only_the_command_line_tool_needs() -> None:
    found = _prints(
        "import sys, controller.main; print([m for m in ('paramiko', 'typer', 'rich') if m in sys.modules])"
    )
    assert found == "[]"


def test_ssh_can_be_imported_once_a_host_needs_it() -> None:
    code = (
        "import controller.main; from controller.engine.ssh import SshAdapter; print(SshAdapter.__mro__[2].__module__)"
    )
    assert _prints(code) == "docker.transport.sshconn"
