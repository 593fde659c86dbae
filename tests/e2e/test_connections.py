# SPDX-License-Identifier: MIT
"""Connections to the upstream over their whole life: which one is taken, kept, replaced, and how it ends."""
import socket
import time
import unittest

from tests.support import net
from tests.support.case import Case, listener
from tests.support.daemon import merge
from tests.support.sink import Rule

USER, PASSWORD = "alice", "Correct-Horse_42!"
ENVELOPE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n"


def deaf_server(case):
    """A port where connecting neither succeeds nor fails: its queue is full."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    case.addCleanup(server.close)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(server.getsockname())
        case.addCleanup(filler.close)
    return server.getsockname()[1]


class Connections(Case):
    def test_a_kept_connection_that_carried_nothing_yet_is_replaced_too(self):
        sink = self.sink(rules=[Rule(at="MAIL", silent=True, close=True, times=1)])
        gate = self.postern(sink)
        c = self.ready_client(gate)
        net.wait_until(lambda: sink.connections == 1, what="the first question")
        c.say("MAIL FROM:<a@x.test>", 250)
        self.assertEqual(sink.connections, 2)

    def test_says_goodbye(self):
        sink = self.sink()
        gate = self.postern(sink, upstreams={"mta": {"keep": 0}})
        c = self.ready_client(gate)
        c.send(ENVELOPE)
        c.expect(250)
        c.expect(250)
        c.say("RSET", 250)
        net.wait_until(lambda: sink.commands()[-2:] == ["RSET", "QUIT"], what="QUIT behind RSET")
        self.assertEqual(sink.commands()[:2], ["EHLO gate.example.org", "QUIT"])  # the first question

    def test_a_server_that_does_not_answer_is_not_asked_first_each_time(self):
        sink = self.sink()
        gate = self.postern(sink, timeouts={"upstream_connect": "1s"}, upstreams={
            "mta": {"servers": [f"127.0.0.1:{deaf_server(self)}", f"127.0.0.1:{sink.port}"], "keep": 0}})
        c = self.ready_client(gate)
        began = time.monotonic()
        c.say("MAIL FROM:<a@x.test>", 250)
        self.assertLess(time.monotonic() - began, 0.8)

    def test_the_log_names_a_server_of_a_generation_that_is_gone(self):
        sink = self.sink(users={USER: PASSWORD}, require_auth=True)
        gate = self.postern(sink, listeners={"main": listener(auth_needs_tls=False)})
        c = self.ready_client(gate)
        self.assertEqual(c.login(USER, PASSWORD).code, 235)
        self.assertIn("generation 2", gate.reload())
        c.send(ENVELOPE + b"DATA\r\n")
        for code in (250, 250, 354):
            c.expect(code)
        c.send(b"Subject: t\r\n")
        sink.stop()
        time.sleep(0.3)
        c.say("\r\nbody\r\n.", 451)
        self.assertEqual(gate.transactions()[-1]["upstream"], f"127.0.0.1:{sink.port}")

    def test_a_session_that_lost_its_old_server_finds_the_new_one(self):
        old, new = self.sink(), self.sink()
        gate = self.postern(old)
        c = self.ready_client(gate)
        c.send(ENVELOPE)
        c.expect(250)
        c.expect(250)
        gate.reload(merge(gate.settings, {"upstreams": {"mta": {"servers": [f"127.0.0.1:{new.port}"]}}}))
        c.say("RSET", 250)
        c.send(ENVELOPE)
        c.expect(250)
        c.expect(250)
        self.assertIn("MAIL FROM:<a@x.test>", new.commands())


if __name__ == "__main__":
    unittest.main()
