# SPDX-License-Identifier: Apache-2.0
"""The edges of what a guard promises: many reloads, an observer that leaves no trace."""
import os
import socket
import time

from conftest import eventually, log_of
from test_upkeep import guard_of


class Notify:
    """Hears what a service tells systemd."""

    def __init__(self, path):
        self.path, self.heard = path, []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.setblocking(False)

    def count(self, what):
        while True:
            try:
                self.heard.append(self.sock.recv(4096).decode())
            except BlockingIOError:
                return sum(what in m for m in self.heard)

    def close(self):
        self.sock.close()
        os.unlink(self.path)


def test_many_reloads_are_one_a_second_and_the_last_counts(lab):
    notify = Notify(lab.dir + "/notify")
    try:
        with guard_of(lab, "observe", "env", f"NOTIFY_SOCKET={notify.path}") as g:
            assert eventually(lambda: notify.count("READY=1") == 1, 5)
            begin = time.monotonic()
            g.reload()
            assert eventually(lambda: notify.count("RELOADING=1") == 1 and notify.count("READY=1") == 2, 5)
            assert time.monotonic() - begin < 0.5, "a single one waits"
            while time.monotonic() < begin + 2.5:
                g.reload()
                time.sleep(0.01)
            g.mode = "rescue"
            g.configure()
            g.reload()
            assert eventually(lambda: g.status()["mode"] == "rescue", 3), "the last one was not heard"
            time.sleep(1.5)
            assert 3 <= notify.count("RELOADING=1") <= 5, log_of(g)
            assert notify.count("READY=1") == notify.count("RELOADING=1") + 1
            assert log_of(g).count("new policies are in force") == notify.count("RELOADING=1")
    finally:
        notify.close()
