# SPDX-License-Identifier: Apache-2.0
"""inotify: the moment somebody writes one of many cgroup files. A write to a file of
kernfs gives an IN_MODIFY like any other, so nothing is polled and nobody is trusted
about when he acted."""
import ctypes
import os
import select
import struct
import time

IN_MODIFY = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    def __init__(self, paths):
        self.fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.names = {}
        for p in paths:
            if not os.path.exists(p):
                continue
            wd = _libc.inotify_add_watch(self.fd, os.fsencode(p), IN_MODIFY)
            if wd < 0:
                raise OSError(ctypes.get_errno(), f"inotify_add_watch {p}")
            self.names[wd] = p

    def wait(self, timeout):
        """(moment, path) of the next write, None after timeout seconds."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return None
        now = time.monotonic()
        wd = struct.unpack_from("i", os.read(self.fd, 65536))[0]
        return now, self.names.get(wd)

    def clear(self):
        while select.select([self.fd], [], [], 0)[0]:
            os.read(self.fd, 65536)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


KNOBS = ("cpu.max", "cpu.weight", "cpu.idle", "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us")


def relief_watch(groups):
    """A Watch on everything relief may write in those groups."""
    return Watch([f"{g.cpu}/{k}" for g in groups for k in KNOBS])
