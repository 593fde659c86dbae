# SPDX-License-Identifier: MIT
"""Interception by TPROXY (`intercept: tproxy`), and connections from the client's own address (`source: client`,
`identity: tproxy`), on one host. tests/e2e/test_gateway.py has them on routers and bridges."""
import unittest

from tests.support.client import Smtp
from tests.support.daemon import config
from tests.e2e.test_intercept import FOUR, FREE, GATE, SIX, Interception

CLIENT = {FOUR: "198.51.100.7", SIX: "2001:db8:7::7"}


class Tproxy(Interception):
    def setUp(self):
        super().setUp()
        for address in CLIENT.values():
            self.network.add(address)

    def gate(self, toward=None, exempt=True, rules=True, **listener):
        p = super().gate(redirect=False, toward=toward, listener={"intercept": "tproxy", **listener})
        if rules:
            self.network.tproxy(GATE, "tcp dport 25", exempt=exempt)
        return p

    def client(self, server):
        return self.to(server, source=(CLIENT[server], 0))

    def test_the_server_that_was_meant(self):
        for server in (FOUR, SIX):
            with self.subTest(server):
                sink = self.sink(host=server, port=25, hostname=f"mx.{len(server)}.example.org")
                p = self.gate()
                c = self.client(server)
                self.assertIn(f"mx.{len(server)}.example.org", str(c.expect(220)))
                c.say("EHLO client.example.com", 250)
                self.assertEqual(c.message().code, 250)
                line = p.transactions()[0]
                self.assertEqual((line["client"], line["upstream"]),
                                 (CLIENT[server], f"[{server}]:25" if ":" in server else f"{server}:25"))
                p.stop()
                if server == FOUR:  # among IPv6 addresses of one interface the kernel's choice may be this one
                    self.assertNotIn(CLIENT[server], sink.peers)

    def test_the_clients_own_address(self):
        for server in (FOUR, SIX):
            with self.subTest(server):
                sink = self.sink(host=server, port=25)
                p = self.gate(source="client")
                for _ in range(3):
                    c = self.client(server)
                    c.hello()
                    self.assertEqual(c.message().code, 250)
                    c.quit()
                self.assertEqual(sink.peers, [CLIENT[server]] * 3)
                self.assertEqual([t["client"] for t in p.transactions(3)], [CLIENT[server]] * 3)
                p.stop()

    def test_redirected_with_the_clients_own_address(self):
        sink = self.sink(host=FOUR, port=25)
        p = super().gate(listener={"source": "client"})
        c = self.client(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.peers, [CLIENT[FOUR]])
        self.assertEqual(p.transactions()[0]["client"], CLIENT[FOUR])

    def test_towards_a_named_upstream(self):
        """identity: tproxy. The upstream is asked what it offers from our own address; nothing is kept."""
        sink = self.sink(host=FOUR, port=10025)
        settings = config(10025, port=GATE)
        settings["upstreams"]["mta"] |= {"servers": [f"{FOUR}:10025"], "identity": "tproxy"}
        p = self.postern(settings=settings)
        for address in (CLIENT[FOUR], FREE):
            c = self.stack.enter_context(Smtp(GATE, source=(address, 0)))
            c.hello()
            for _ in range(2):
                self.assertEqual(c.message().code, 250)
            c.quit()
        p.transactions(4)
        self.assertEqual([a for a in sink.peers if a != "127.0.0.1" and a != FOUR], [CLIENT[FOUR], FREE])

    def test_a_client_of_the_other_family(self):
        """Such a server cannot see the client's address, so it does not hear of the client at all."""
        self.sink(host=FOUR, port=10025)
        settings = config(10025, port=GATE)
        settings["listeners"]["main"]["bind"] = [f"[::1]:{GATE}"]
        settings["upstreams"]["mta"] |= {"servers": [f"{FOUR}:10025"], "identity": "tproxy"}
        p = self.postern(settings=settings)
        c = self.stack.enter_context(Smtp(GATE, host="::1"))
        c.hello()
        c.say("MAIL FROM:<a@example.org>", 421)
        other = self.stack.enter_context(Smtp(GATE, host="::1"))
        self.assertEqual(other.reply().code, 220)  # the server is not down
        self.assertIn("not the same family", p.log())

    def test_direct_connections(self):
        p = self.gate()
        self.assertEqual(self.refusal("127.0.0.1", GATE),
                         "421 4.4.6 Only redirected connections are served here")
        p.stop()
        sink = self.sink(host=FREE, port=10025)
        self.gate(upstream="mta", toward={"mta": {"servers": [f"{FREE}:10025"]}})
        c = self.to("127.0.0.1", GATE)
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertTrue(sink.messages())

    def test_own_connections_that_are_not_exempt(self):
        sink = self.sink(host=FOUR, port=25)
        for source in ("own", "client"):
            with self.subTest(source):
                p = self.gate(exempt=False, source=source)
                self.assertIn("421", self.refusal(FOUR))
                self.assertEqual(sink.connections, 0)
                p.stop()

    def test_a_reload_adds_it(self):
        """Listening for others needs nothing of the workers; sending as others does, and they cannot get it."""
        self.sink(host=FOUR, port=25)
        p = super().gate(redirect=False)
        self.network.tproxy(GATE, "tcp dport 25")
        listener = p.settings["listeners"]["main"]
        listener["intercept"] = "tproxy"
        self.assertIn("generation 2", p.reload(p.settings))
        c = self.client(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)
        listener["source"] = "client"
        self.assertIn("refused", p.reload(p.settings))
        self.assertIn("a reload cannot add it", p.log())
        self.assertEqual(c.message().code, 250)

    def test_the_only_capability(self):
        p = self.gate(source="client")
        for pid in p.workers():
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                have = {k: v.strip() for k, v in (line.split(":", 1) for line in f)}
            self.assertEqual((int(have["CapEff"], 16), int(have["CapPrm"], 16), int(have["CapInh"], 16)),
                             (1 << 13, 1 << 13, 0))
            self.assertNotEqual(have["Uid"].split()[0], "0")


if __name__ == "__main__":
    unittest.main()
