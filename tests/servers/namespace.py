"""A network of one's own for a process: Linux' namespaces, so that a test changes nothing of this machine's."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

# linux/sched.h, linux/sockios.h, linux/if.h, linux/capability.h
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_GET_FLAGS, _SET_FLAGS, _SET_MTU, _UP = 0x8913, 0x8914, 0x8922, 1
_CAPABILITIES_3 = 0x20080522


class NoNamespaceError(Exception):
    """The system does not let this user have a network of its own."""


def enter(*, mtu: int = 65536, **settings: str) -> None:
    """Give this process a network that has nothing but loopback, with these settings below /proc/sys/net/ipv4."""
    libc = ctypes.CDLL(None, use_errno=True)
    is_root = os.geteuid() == 0
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_NET if is_root else _NEW_USER | _NEW_NET) != 0:
        raise NoNamespaceError(os.strerror(ctypes.get_errno()))
    try:
        if not is_root:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = struct.pack("16sH14x", b"lo", 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(control, _GET_FLAGS, name))[1]
            fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))
            fcntl.ioctl(control, _SET_MTU, struct.pack("16si12x", b"lo", mtu))
        for setting, value in settings.items():
            Path("/proc/sys/net/ipv4", setting).write_text(value)
    except OSError as error:
        raise NoNamespaceError(str(error)) from error


def drop_capabilities() -> None:
    """Give up every right that this process has beyond those of a plain user."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(struct.pack("Ii", _CAPABILITIES_3, 0), struct.pack("6I", *[0] * 6)) != 0:
        raise NoNamespaceError(os.strerror(ctypes.get_errno()))
