"""The Docker SDK without SSH, which takes 15 MB and which only ssh:// hosts need.

The SDK leaves SSH out where paramiko can't be imported, so that is how it is while this imports the SDK. To be imported
before anything that imports the SDK; `controller.engine.ssh` brings in paramiko when a host needs it.
"""

from __future__ import annotations

import sys

if "paramiko" not in sys.modules:
    sys.modules["paramiko"] = None  # type: ignore[assignment]  # Python's way to say: can't be imported
    try:
        import docker  # noqa: F401
    finally:
        del sys.modules["paramiko"]
