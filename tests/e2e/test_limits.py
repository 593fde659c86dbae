# SPDX-License-Identifier: MIT
"""Every limit of postern's own, when reached: the right reply, a line in the log, a counter."""
import unittest

from tests.support.case import Case


class Limits(Case):
    def reached(self, p, name):
        """The log has one line for it, and the counter is there."""
        line = p.wait_log(f"event=limit limit={name} ")
        self.assertIn("client=127.0.0.1", line)
        p.signal(12)  # SIGUSR2
        p.wait_log(f"event=counters group=session .*{name}=")
        return line

    def to_data(self, c):
        c.say("MAIL FROM:<a@x.test>", "250")
        c.say("RCPT TO:<b@y.test>", "250")
        c.say("DATA", "354")

    def test_errors(self):
        p = self.postern(self.sink(), limits={"errors": 3})
        c = self.ready_client(p)
        for _ in range(3):
            c.say("XYZZY", "500")
        reply = c.say("XYZZY", "421")
        self.assertIn("sid=" + reply.text.rpartition("(")[2].rstrip(")"), self.reached(p, "too_many_errors"))

    def test_recipients(self):
        p = self.postern(self.sink(), limits={"recipients": 100})
        c = self.ready_client(p)
        c.say("MAIL FROM:<a@x.test>", "250")
        for i in range(100):
            c.say(f"RCPT TO:<r{i}@y.test>", "250")
        for i in range(3):
            c.say(f"RCPT TO:<more{i}@y.test>", "452")
        self.reached(p, "too_many_recipients")
        self.assertEqual(len(p.events("limit")), 1)  # once a session

    def test_message_size(self):
        p = self.postern(self.sink(), limits={"message": "2KiB"})
        c = self.ready_client(p)
        c.say("MAIL FROM:<a@x.test> SIZE=3000", "552")
        self.to_data(c)
        c.send(b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 40 + b".\r\n")
        c.expect("552")
        self.reached(p, "too_big")

    def test_space_for_bodies(self):
        p = self.postern(self.sink(), limits={"bodies_memory": "64KiB", "bodies_disk": "64KiB",
                                              "body_memory": "16KiB"})
        c = self.ready_client(p)
        self.to_data(c)
        c.send((b"y" * 70 + b"\r\n") * 2000 + b".\r\n")
        c.expect("452")
        self.reached(p, "no_space")

    def test_line_length_and_line_ends(self):
        p = self.postern(self.sink())
        c = self.ready_client(p)
        c.say("NOOP " + "x" * 3000, "500")
        self.reached(p, "line_too_long")
        c.send(b"NOOP\nNOOP\r\n")
        c.expect("500")
        self.reached(p, "bare_newlines")

    def test_out_of_turn(self):
        p = self.postern(self.sink())
        c = self.ready_client(p)
        c.send(b"NOOP\r\nNOOP\r\n")
        c.expect("554")
        self.reached(p, "sync_violations")

    def test_idle_client(self):
        p = self.postern(self.sink(), timeouts={"command": "300ms"})
        c = self.ready_client(p)
        c.expect("421")
        self.reached(p, "client_timeouts")


if __name__ == "__main__":
    unittest.main()
