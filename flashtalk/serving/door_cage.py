"""The cage of the child that opens uploads: limits on memory and time, no files, no network, no other process.

Called by door_child.py before it looks at a single byte. Each part says whether the system took it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

PARTS = ("memory", "time", "parent", "calls", "network")
"""memory: address space. time: processor seconds. parent: it dies with its parent. calls: only those of _CALLS, so no
file can be opened and no process or connection made. network: it lives in a network of its own, without interfaces."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _SIGKILL = 1, 4, 38, 9
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_KILL, _ALLOW, _REFUSE = 0x80000000, 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38

# Numbers of the calls that decoding needs: memory, threads' locks, clocks, reading and writing what is open already.
_CALLS = {
    "x86_64": (
        *(0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 20, 24, 25, 28, 35, 39, 60, 98, 131, 186, 202, 204),
        *(219, 228, 229, 230, 231, 273, 318, 324, 334),
    ),
    "aarch64": (
        *(63, 64, 57, 80, 73, 62, 222, 226, 215, 214, 134, 135, 139, 67, 65, 66, 124, 216, 233, 101, 172, 93, 165),
        *(132, 178, 98, 123, 128, 113, 114, 115, 94, 99, 278, 283, 293),
    ),
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE, _CLONE3, _SECCOMP = {"x86_64": 56, "aarch64": 220}, 435, {"x86_64": 317, "aarch64": 277}


def limit_resources(memory_bytes: int, cpu_s: int) -> list[str]:
    """Before anything is imported that takes much. Returns the parts that hold."""
    limits = {"memory": ("RLIMIT_AS", memory_bytes), "time": ("RLIMIT_CPU", cpu_s), "core": ("RLIMIT_CORE", 0)}
    return [part for part, limit in limits.items() if _limit(*limit) and part in PARTS]


def shut(parent: int) -> list[str]:
    """After everything needed was imported: nothing can be opened from here on. Returns the parts that hold."""
    _limit("RLIMIT_FSIZE", 0)
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    held = []
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) == 0:
        held.append("parent")
    if os.getppid() != parent:  # it died before it could be watched
        os._exit(1)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0:
        held.append("network")
    if _filter_calls(libc):
        held.append("calls")
    return held


def _filter_calls(libc: ctypes.CDLL) -> bool:
    machine = platform.machine()
    if machine not in _CALLS or struct.calcsize("P") != 8:
        return False
    code = _program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    call = libc.syscall
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_void_p)
    return bool(call(_SECCOMP[machine], _SET_MODE_FILTER, _ALL_THREADS, ctypes.addressof(program)) == 0)


def _program(machine: str) -> bytes:
    """A filter for the kernel's packet machine: each line is (code, jump if true, jump if false, operand)."""
    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06
    lines = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURE[machine]), (give, 0, 0, _KILL), (load, 0, 0, 0)]
    for number in _CALLS[machine]:
        lines += [(equal, 0, 1, number), (give, 0, 0, _ALLOW)]
    # The C library tries clone3 first, whose flags a filter cannot see, and falls back to clone.
    lines += [(equal, 0, 1, _CLONE3), (give, 0, 0, _REFUSE | _ENOSYS)]
    lines += [(equal, 0, 3, _CLONE[machine]), (load, 0, 0, 16), (any_bit, 0, 1, _CLONE_THREAD), (give, 0, 0, _ALLOW)]
    lines += [(give, 0, 0, _REFUSE | _EPERM)]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _limit(name: str, most: int) -> bool:
    try:
        import resource  # noqa: PLC0415 (not on Windows)

        resource.setrlimit(getattr(resource, name), (most, most))
    except (ImportError, AttributeError, OSError, ValueError):
        return False
    return True
