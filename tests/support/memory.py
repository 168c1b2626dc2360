"""How much memory a process of ours has, as the kernel counts it (proc_pid_status(5)); bytes."""

from __future__ import annotations

from pathlib import Path


def resident(pid: int) -> int:
    """Now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """At the most, since it began or since :func:`forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
