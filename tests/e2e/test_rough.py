# SPDX-License-Identifier: MIT
"""Packets that come twice, late, cut small or not at all; half-closed connections; addresses with a zone."""
import random
import socket

from tests.support.case import Case, listener
from tests.support.client import Smtp, stuffed
from tests.support.netns import Network, run
from tests.support.rough import TUN, Rough


def body(size, seed):
    """Lines of all lengths, many of them with dots at their start."""
    dice = random.Random(seed)
    lines, n = [b"Subject: rough", b""], 0
    while n < size:
        lines.append(dice.choice((b".", b"..", b"", b"x")) + b"abcdefghij." * dice.randrange(0, 80))
        n += len(lines[-1]) + 2
    return b"\r\n".join(lines) + b"\r\n"


class Packets(Case):
    """TN-09. There is no netem in every kernel, so a TUN device and a loop of the tests' own do what it would."""

    def gate(self, rough, **more):
        if not TUN.exists():
            self.skipTest(f"{TUN} is not there")
        self.stack.enter_context(Network())
        road = self.stack.enter_context(Rough(**rough))
        sink = self.sink()
        p = self.postern(sink, listeners={"main": listener(host=road.here, **more)}, timeouts={"silent_peer": "30s"})
        return road, sink, p

    def connect(self, road, p):
        return self.stack.enter_context(Smtp(p.listener_port("main"), host=road.there, timeout=60))

    def check_messages(self, road, sink, p, sizes=(10, 3000, 60000), step=0):
        """Several messages over one connection, by DATA and by BDAT: each arrives as it was, and no other."""
        c = self.connect(road, p)
        c.hello()
        sent = []
        for i, size in enumerate(sizes):
            content = body(size, i)
            c.envelope()
            if i % 2:
                c.send(b"BDAT %d LAST\r\n" % len(content) + content)
                reply = c.reply()
            else:
                c.say("DATA", 354)
                wire = stuffed(content) + b".\r\n"
                c.trickle(wire, step or len(wire))
                reply = c.reply()
            self.assertEqual(reply.code, 250, reply)
            sent.append(content)
        c.quit()
        self.assertTrue(c.at_eof(30))
        self.assertEqual(sorted(m.content for m in sink.messages()), sorted(sent))

    def test_late_twice_and_lost(self):
        road, sink, p = self.gate({"reorder": 0.3, "repeat": 0.3, "lose": 0.02})
        self.check_messages(road, sink, p)
        for what in ("reordered", "repeated"):
            self.assertGreater(road.counts[what], 5, road.counts)

    def test_small_segments(self):
        """An MTU of 92: 40 octets of content in each packet, out of order."""
        road, sink, p = self.gate({"mtu": 92, "reorder": 0.2, "repeat": 0.1})
        self.check_messages(road, sink, p, (10, 3000, 20000))
        self.assertGreater(road.counts["passed"], 600, road.counts)

    def test_octet_by_octet(self):
        road, sink, p = self.gate({"reorder": 0.2, "repeat": 0.2})
        self.check_messages(road, sink, p, (700,), step=1)
        for what in ("reordered", "repeated"):  # how many packets they become is the kernel's affair
            self.assertGreater(road.counts[what], 0, road.counts)

    def test_long_packets_vanish(self):
        """A black hole behind some router, and a kernel that probes for it (tcp_mtu_probing): the reply to EHLO is
        short, content is not."""
        road, sink, p = self.gate({"swallows": 700})
        with open("/proc/sys/net/ipv4/tcp_mtu_probing", "w", encoding="ascii") as f:
            f.write("2")
        with open("/proc/sys/net/ipv4/tcp_base_mss", "w", encoding="ascii") as f:
            f.write("512")
        self.check_messages(road, sink, p, (10, 6000, 60000))
        self.assertGreater(road.counts["swallowed"], 0, road.counts)


class HalfClosed(Case):
    """TN-14: who has said all it wants to say, and closes that half, still reads every reply."""

    def test_after_all_that_it_wanted(self):
        sink = self.sink()
        for tail, codes in ((b"QUIT\r\n", [250, 250, 354, 250, 221]), (b"", [250, 250, 354, 250])):
            with self.subTest(tail):
                c = self.ready_client(self.postern(sink))
                c.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n")
                got = [c.reply().code for _ in range(3)]
                c.send(b"Subject: t\r\n\r\nbody\r\n.\r\n" + tail)
                c.socket.shutdown(socket.SHUT_WR)
                got += [c.reply().code for _ in codes[3:]]
                self.assertEqual(got, codes)
                self.assertTrue(c.at_eof())
        self.assertEqual(len(sink.messages()), 2)

    def test_in_the_middle_nothing_is_committed(self):
        """Half a message is none, whichever half was closed."""
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: t\r\n\r\nbody\r\n.")
        c.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(c.at_eof())
        self.assertEqual(sink.messages(), [])


class Zones(Case):
    """TN-08: a link-local client is the same one whatever its zone is called, and is named without it."""

    def test_link_local(self):
        self.stack.enter_context(Network())
        run("ip", "address", "add", "fe80::9/64", "dev", "lo", "nodad")
        sink = self.sink()
        p = self.postern(sink, listeners={"main": listener(host="[::]")}, limits={"sessions_per_client": 1})
        c = self.stack.enter_context(Smtp(p.listener_port("main"), host="fe80::9%lo"))
        c.hello()
        self.assertEqual(c.message().code, 250)
        p.wait_log("client=fe80::9 ")
        self.assertNotIn("%", p.log())
        second = self.stack.enter_context(Smtp(p.listener_port("main"), host="fe80::9%1"))
        self.assertEqual(second.reply().code, 421)
