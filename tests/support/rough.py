# SPDX-License-Identifier: MIT
"""A network that reorders, repeats, loses and cuts, inside a namespace of the test's own (netns.Network).

    with Network(), Rough(reorder=0.2, repeat=0.2, lose=0.02, mtu=140) as rough:
        socket.create_connection((rough.there, port))       # comes in at `here`, from `there`

A TUN device whose other end is this program: each packet comes back with its two addresses swapped, which leaves
its checksums right, after some have overtaken others. What is done to them comes from a seed; how they then meet
the kernel's timers does not.
"""
import contextlib
import fcntl
import os
import pathlib
import random
import select
import socket
import struct
import threading

from tests.support.netns import run

TUN = pathlib.Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
HELD_BACK = 0.01  # seconds, when nothing comes that could overtake


class Rough:
    here, there = "192.0.2.1", "192.0.2.2"

    def __init__(self, seed=1, reorder=0.0, repeat=0.0, lose=0.0, mtu=1500, swallows=0):
        """mtu: of the device, 68 at least. swallows: packets longer than this vanish, and nobody is told (0: none)."""
        self.random = random.Random(seed)
        self.reorder, self.repeat, self.lose, self.mtu, self.swallows = reorder, repeat, lose, mtu, swallows
        self.counts = {"passed": 0, "reordered": 0, "repeated": 0, "lost": 0, "swallowed": 0}
        self.held = None

    def __enter__(self):
        self.device = os.open(TUN, os.O_RDWR)
        fcntl.ioctl(self.device, TUNSETIFF, struct.pack("16sH22x", b"rough0", IFF_TUN | IFF_NO_PI))
        run("ip", "address", "add", f"{self.here}/24", "dev", "rough0")
        run("ip", "link", "set", "rough0", "mtu", str(self.mtu), "up")
        self.ends, self.end = socket.socketpair()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.end.close()
        self.thread.join()
        self.ends.close()
        os.close(self.device)

    def _serve(self):
        while True:
            ready, _, _ = select.select([self.device, self.ends], [], [], HELD_BACK if self.held else None)
            if self.ends in ready:
                return
            if ready:
                self._take(os.read(self.device, 65536))
            else:
                self._let_go()

    def _take(self, packet):
        if packet[0] >> 4 != 4:
            return
        packet = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
        if self.swallows and len(packet) > self.swallows:
            self.counts["swallowed"] += 1
        elif self.random.random() < self.lose:
            self.counts["lost"] += 1
        elif not self.held and self.random.random() < self.reorder:
            self.held = packet
            self.counts["reordered"] += 1
        else:
            self._put(packet)
            self._let_go()

    def _let_go(self):
        held, self.held = self.held, None
        if held:
            self._put(held)

    def _put(self, packet):
        self.counts["passed"] += 1
        with contextlib.suppress(OSError):
            os.write(self.device, packet)
            if self.random.random() < self.repeat:
                self.counts["repeated"] += 1
                os.write(self.device, packet)
