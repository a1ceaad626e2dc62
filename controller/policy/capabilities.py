"""Linux capabilities, in any of the spellings that Docker takes."""

from __future__ import annotations

from collections.abc import Sequence

ALL = "ALL"
DEFAULT_DROPS = frozenset({"AUDIT_WRITE", "MKNOD", "NET_RAW"})
"""What Docker gives by default and we don't: raw packets (spoofing), device nodes, forged audit records."""

KNOWN = frozenset(
    {
        *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN"),
        *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE"),
        *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST"),
        *("NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT"),
        *("SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME"),
        *("SYS_TTY_CONFIG", "WAKE_ALARM"),
    }
)


def capability_name(capability: str) -> str:
    """The one spelling: upper case, without CAP_."""
    return capability.upper().removeprefix("CAP_")


def capability_allowed(capability: str, allowed: Sequence[str]) -> bool:
    """Whether the policy lists the capability. ALL is asked for as ALL only: no list of single ones amounts to it."""
    names = {capability_name(name) for name in allowed}
    return capability_name(capability) in names or (ALL in names and capability_name(capability) in KNOWN)
