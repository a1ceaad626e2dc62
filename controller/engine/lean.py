"""What the controller's process does before it imports the rest: imports cost it little time and memory.

To be imported first. The Docker SDK leaves SSH out where paramiko can't be imported, so that is how it is while the SDK
is imported here: it would take 15 MB, and `controller.engine.ssh` brings it in when a host needs it. Nothing that is
imported is ever garbage, so the collector doesn't look for it meanwhile, nor, after `settle`, ever again.
"""

from __future__ import annotations

import gc
import sys

_THRESHOLDS = (5_000, 5, 5)  # the first: seven times the default, for Workspaces that come by the thousand

gc.disable()
if "paramiko" not in sys.modules:
    sys.modules["paramiko"] = None  # type: ignore[assignment]  # Python's way to say: can't be imported
    try:
        import docker  # noqa: F401
    finally:
        del sys.modules["paramiko"]


def settle() -> None:
    """Everything is imported: garbage is collected from now on, among what comes from now on."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
