# SPDX-License-Identifier: MIT
"""TCP itself: urgent data, and peers that fall silent without an end."""
import ctypes
import socket
import struct
import time
import unittest

from tests.support import net
from tests.support.case import Case

SO_ATTACH_FILTER = 26
FALL_SILENT = "2s"


def go_deaf(sock):
    """Nothing reaches this socket from now on, so that its kernel acknowledges nothing: a cut cable."""
    drop_all = struct.pack("HBBI", 0x06, 0, 0, 0)
    program = ctypes.create_string_buffer(drop_all)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


class Urgent(Case):
    def test_no_byte_vanishes_from_the_middle(self):
        """Were the urgent byte missing, `.` CRLF would end the message and its rest would be commands (TN-10)."""
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: t\r\n\r\none\r\n")
        c.socket.send(b"x", socket.MSG_OOB)
        c.send(b".\r\nMAIL FROM:<evil@x.test>\r\n")
        c.socket.send(b"!", socket.MSG_OOB)
        self.assertEqual(c.content(b"two\r\n").code, 250)
        content = self.only_message(sink).content
        self.assertTrue(content.endswith(b"one\r\nx.\r\nMAIL FROM:<evil@x.test>\r\n!two\r\n"), content)

    def test_in_a_command(self):
        c = self.client(self.postern(self.sink()))
        c.expect(220)
        c.send(b"EHLO client.exam")
        c.socket.send(b"p", socket.MSG_OOB)
        c.send(b"le.org\r\n")
        c.expect(250)
        c.say("NOOP", 250)


class Silence(Case):
    """A peer that vanishes without a word is given up after timeouts.silent_peer, on either leg (TN-11)."""

    def impatient(self, sink):
        return self.postern(sink, timeouts={"silent_peer": FALL_SILENT})

    def ended(self, p, before):
        """The session is over in time; a new one goes through."""
        net.wait_until(lambda: p.events("transaction"), 15, "the end of the session")
        self.assertLess(time.monotonic() - before, 12)
        self.assertEqual(self.ready_client(p).message().code, 250)

    def test_client_in_the_middle_of_content(self):
        sink = self.sink()
        p = self.impatient(sink)
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: half\r\n\r\n")
        go_deaf(c.socket)
        before = time.monotonic()
        self.ended(p, before)
        self.assertEqual(p.transactions()[0]["verdict"], "aborted")
        self.assertNotIn(b"half", b"".join(m.content for m in sink.messages()))

    def test_client_between_commands(self):
        sink = self.sink()
        p = self.impatient(sink)
        c = self.ready_client(p)
        c.envelope()
        go_deaf(c.socket)
        self.ended(p, time.monotonic())

    def test_upstream(self):
        sink = self.sink()
        p = self.impatient(sink)
        c = self.ready_client(p)
        c.say("MAIL FROM:<a@x.test>", 250)
        for conversation in list(sink.conversations):
            go_deaf(conversation.writer.get_extra_info("socket"))
        before = time.monotonic()
        c.say("RCPT TO:<b@y.test>", 421)
        self.assertLess(time.monotonic() - before, 12)
        self.assertEqual(self.ready_client(p).message().code, 250)


class Closing(Case):
    def test_a_client_that_does_not_leave(self):
        """After QUIT the client keeps its end open: the connection goes after two fifths of timeouts.close."""
        p = self.postern(self.sink(), timeouts={"close": "500ms"})
        c = self.ready_client(p)
        before = time.monotonic()
        c.quit()
        time.sleep(0.5)
        with self.assertRaises(ConnectionError):
            for _ in range(50):
                c.send(b"NOOP\r\n")
                time.sleep(0.02)
        self.assertLess(time.monotonic() - before, 2)


if __name__ == "__main__":
    unittest.main()
