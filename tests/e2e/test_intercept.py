# SPDX-License-Identifier: MIT
"""Interception by NAT (`intercept: redirect`): the client means to reach a server and reaches postern, which goes on
to that server, and neither side notices. In a network of the test's own, with nftables, over IPv4 and IPv6."""
import socket
import time
import unittest

from tests.support import net
from tests.support.case import GTUBE, Case, certificate_settings, certificates, with_filters
from tests.support.client import Closed, Smtp
from tests.support.daemon import config, run, yaml
from tests.support.netns import Network
from tests.support.sink import Rule

FOUR, SIX, FREE = "192.0.2.9", "2001:db8::9", "192.0.2.10"
GATE = 2526


class Interception(Case):
    def setUp(self):
        super().setUp()
        self.network = self.stack.enter_context(Network((FOUR, SIX, FREE)))

    def gate(self, redirect=True, exempt=True, files=None, toward=None, **listener):
        """A daemon that intercepts what goes to port 25."""
        settings = config(1, port=GATE)
        settings["listeners"]["main"] = {"bind": [f"127.0.0.1:{GATE}", f"[::1]:{GATE}"], "intercept": "redirect",
                                         "policy": "main", **listener.pop("listener", {})}
        settings["upstreams"] = toward
        settings = {k: v for k, v in {**settings, **listener}.items() if v is not None}
        p = self.postern(settings=settings, files=files)
        if redirect:
            self.network.redirect(GATE, "tcp dport 25", exempt=exempt)
        return p

    def to(self, host, port=25, **options):
        return self.stack.enter_context(Smtp(port, host=host, **options))

    def refusal(self, host, port=25):
        """The one reply of a connection that ends with it."""
        c = self.to(host, port)
        reply = c.reply()
        self.assertTrue(c.at_eof(), reply)
        return str(reply)


class Dialogue(Interception):
    """Nobody notices."""

    def test_both_families(self):
        for host in (FOUR, SIX):
            with self.subTest(host):
                sink = self.sink(host=host, port=25, hostname=f"mx.{len(host)}.example.org")
                p = self.gate()
                c = self.to(host)
                self.assertEqual(str(c.expect(220)), f"220 mx.{len(host)}.example.org ESMTP sink")
                reply = c.say("EHLO client.example.com", 250)
                self.assertEqual(reply.lines[0], f"mx.{len(host)}.example.org at your service")
                self.assertEqual(c.message().code, 250)
                self.assertEqual(str(c.quit()), "221 2.0.0 Bye")
                self.assertEqual(sink.commands()[0], "EHLO client.example.com")
                self.assertEqual(sink.connections, 1)  # nobody asks a stranger's server what it offers
                line = p.transactions()[0]
                where = f"[{host}]:25" if ":" in host else f"{host}:25"
                self.assertEqual((line["upstream"], line["verdict"], line["helo"]),
                                 (where, "accepted", "client.example.com"))
                p.stop()

    def test_what_the_server_offers_and_can_be_honoured(self):
        self.sink(host=FOUR, port=25, extensions=("SIZE", "DSN"), size=1234,
                  extra_lines=("X-OWN thing", "XCLIENT NAME"))
        self.gate()
        c = self.to(FOUR)
        offers = c.hello()
        self.assertEqual(offers["SIZE"], "1234")
        self.assertIn("DSN", offers)
        for word in ("8BITMIME", "X-OWN", "XCLIENT", "STARTTLS", "AUTH"):
            self.assertNotIn(word, offers)

    def test_helo_and_the_small_commands(self):
        self.sink(host=FOUR, port=25)
        self.gate()
        c = self.to(FOUR)
        c.expect(220)
        self.assertEqual(str(c.say("HELO client.example.com")), "250 sink.example.org")
        self.assertEqual(str(c.say("RSET")), "250 2.0.0 Flushed")
        self.assertEqual(c.say("HELP").lines, ["2.0.0 It is a sink", "2.0.0 It takes mail"])
        self.assertEqual(str(c.say("NOOP")), "250 2.0.0 Ok")

    def test_all_at_once(self):
        sink = self.sink(host=FOUR, port=25)
        self.gate()
        c = self.to(FOUR)
        c.hello()
        c.send("MAIL FROM:<a@x.test>\r\nRCPT TO:<refuse550@y.test>\r\nRCPT TO:<c@y.test>\r\nDATA\r\n")
        self.assertEqual([c.reply().code for _ in range(4)], [250, 550, 250, 354])
        self.assertEqual(c.content("Subject: t\r\n\r\nbody\r\n").code, 250)
        self.assertEqual(self.only_message(sink).recipients, ["c@y.test"])

    def test_auth_is_the_servers(self):
        self.sink(host=FOUR, port=25, users={"u": "p"}, require_auth=True)
        p = self.gate(listener={"auth_needs_tls": False})
        c = self.to(FOUR)
        self.assertIn("PLAIN", c.hello()["AUTH"])
        self.assertEqual(c.say("MAIL FROM:<a@x.test>").code, 530)
        self.assertEqual(c.login("u", "p").code, 235)
        self.assertEqual(c.message().code, 250)
        self.assertEqual(p.transactions(2)[-1]["user"], "u")

    def test_filters_are_in_force(self):
        sink = self.sink(host=FOUR, port=25)
        p = self.gate(files={"r.rules": "[text]\n/GTUBE-STANDARD/ REJECT 5.7.1 GTUBE\n"},
                      **with_filters("content", content={"plugin": "content", "rules": ["r.rules"]}))
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message(content=f"Subject: x\r\n\r\n{GTUBE}\r\n").code, 550)
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(sink.messages()), 1)
        self.assertEqual([t["verdict"] for t in p.transactions(2)], ["rejected", "accepted"])

    def test_each_client_its_own_connection(self):
        sink = self.sink(host=FOUR, port=25)
        self.gate()
        for n in range(3):
            c = self.to(FOUR)
            c.hello(f"client{n}.example.com")
            self.assertEqual(c.message().code, 250)
            c.quit()
        self.assertEqual([conversation.helo for conversation in sink.conversations],
                         [f"client{n}.example.com" for n in range(3)])

    def test_reload_in_the_middle(self):
        self.sink(host=FOUR, port=25)
        p = self.gate()
        c = self.to(FOUR)
        c.hello()
        self.assertIn("generation 2", p.reload())
        self.assertEqual(c.message().code, 250)
        settings = {**p.settings, "upstreams": {"mta": {"servers": ["127.0.0.1:1"]}}}
        settings["listeners"]["main"].update(intercept="none", upstream="mta")
        self.assertIn("generation 3", p.reload(settings))
        self.assertEqual(c.message().code, 250)  # an intercepted client stays where it wanted to go
        self.assertEqual(c.quit().text, "2.0.0 Bye")
        self.assertEqual([t["gen"] for t in p.transactions(2)], ["2", "2"])


class Server(Interception):
    """The server refuses, leaves, or is not there."""

    def serve(self, *rules):
        self.sink(host=FOUR, port=25, rules=rules)
        return self.gate()

    def test_greeting_that_refuses(self):
        for reply in ("554 no mail\ntoday", "421 busy"):
            with self.subTest(reply):
                p = self.serve(Rule("CONNECT", reply=reply))
                self.assertEqual(self.refusal(FOUR), reply)
                p.stop()
                self.sinks.pop().stop()

    def test_ehlo_refused_then_helo(self):
        self.serve(Rule("EHLO", reply="502 5.5.1 What?"))
        c = self.to(FOUR)
        c.expect(220)
        self.assertEqual(str(c.say("EHLO me.example")), "502 5.5.1 What?")
        self.assertEqual(c.say("HELO me.example").code, 250)
        self.assertEqual(c.message().code, 250)

    def test_hangs_up_in_each_state(self):
        for at, command in (("CONNECT", None), ("EHLO", "EHLO me.example"), ("MAIL", "MAIL FROM:<a@x.test>"),
                            ("RCPT", "RCPT TO:<b@y.test>"), ("DATA", "Subject: x\r\n\r\n."),
                            ("DOT", "Subject: x\r\n\r\n.")):
            with self.subTest(at):
                p = self.serve(Rule(at, silent=True, close=True))
                c = self.to(FOUR)
                self.go_on_to(c, at)
                if command:
                    c.send(command + "\r\n")
                self.assertEqual(c.reply().code // 100, 4)
                p.stop()
                self.sinks.pop().stop()

    def go_on_to(self, c, at):
        if at == "CONNECT":
            return
        c.expect(220)
        for verb, command in (("EHLO", "EHLO me.example"), ("MAIL", "MAIL FROM:<a@x.test>"),
                              ("RCPT", "RCPT TO:<b@y.test>"), ("DATA", "DATA")):
            if verb == at != "DATA":  # postern says 354 itself, and DATA when it has the content
                return
            c.say(command, 3 if verb == "DATA" else 2)

    def test_hangs_up_while_idle(self):
        self.serve(Rule("NOOP", extra="421 4.4.2 Tired\r\n", close=True))
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.say("NOOP").code, 250)
        self.assertEqual(str(c.reply()), "421 4.4.2 Tired")
        self.assertTrue(c.at_eof())

    def test_not_there(self):
        p = self.gate()
        self.assertRegex(self.refusal(FREE), "^421 4.3.2 ")
        self.assertNotIn("is down", p.log())  # it is nobody's upstream

    def test_slow_greeting_and_an_impatient_client(self):
        self.serve(Rule("CONNECT", delay=1.0))
        c = self.to(FOUR)
        c.send("EHLO me.example\r\n")
        self.assertEqual(c.reply().code, 554)


class Refused(Interception):
    """Where no client is brought to."""

    def test_direct_connection(self):
        p = self.gate(redirect=False)
        for host in ("127.0.0.1", "::1"):
            self.assertRegex(self.refusal(host, GATE), "^421 4.4.6 ")
        self.network.redirect(GATE, "tcp dport 25")
        self.assertRegex(self.refusal("127.0.0.1", GATE), "^421 4.4.6 ")
        self.assertIn("was not redirected", p.log())

    def test_direct_connection_with_an_upstream(self):
        sink, other = self.sink(), self.sink(host=FOUR, port=25, hostname="other.example.org")
        self.gate(toward={"mta": {"servers": [f"127.0.0.1:{sink.port}"], "tls": "none"}}, listener={"upstream": "mta"})
        c = self.client(GATE)
        self.assertEqual(c.expect(220).text, "gate.example.org ESMTP")
        c.ehlo()
        self.assertEqual(c.message().code, 250)
        self.only_message(sink)
        c = self.to(FOUR)
        self.assertEqual(c.expect(220).text, "other.example.org ESMTP sink")
        c.ehlo()
        self.assertEqual(c.message().code, 250)
        self.only_message(other)

    def test_a_listener_of_its_own(self):
        listeners = {"other": {"bind": ["0.0.0.0:2530", "[::]:2530"], "upstream": "mta", "policy": "main"}}
        settings = config(1, port=GATE)
        settings["listeners"].update(listeners)
        p = self.gate(toward=settings["upstreams"], redirect=False,
                      listeners={"main": {"bind": [f"127.0.0.1:{GATE}", f"[::1]:{GATE}"], "intercept": "redirect",
                                          "deny": [], "policy": "main"}, **listeners})
        self.network.redirect(GATE, "tcp dport 2530")
        for host in ("127.0.0.1", "::1", FOUR, SIX):
            with self.subTest(host):
                self.assertRegex(self.refusal(host, 2530), "^421 4.4.6 ")
        self.network.redirect(2530, "tcp dport 25")
        self.assertEqual(p.events("connection")[0]["destination"], "127.0.0.1:2530")

    def test_own_connections_that_are_not_exempt(self):
        """The rule catches postern's own connections too: one turn of the loop, not a storm."""
        sink = self.sink(host=FOUR, port=25)
        p = self.gate(exempt=False)
        self.assertRegex(self.refusal(FOUR), "^421 4.4.6 ")
        self.assertEqual(sink.connections, 0)
        self.assertEqual(len(p.log_lines("a loop")), 1)

    def test_allow_and_deny(self):
        self.sink(host=FOUR, port=25)
        self.sink(host=SIX, port=25)
        self.sink(host="127.0.0.1", port=25)
        everything = (FOUR, SIX, "127.0.0.1")
        for lists, served in (({}, (FOUR, SIX)),
                              ({"deny": []}, everything),
                              ({"deny": ["192.0.2.8/31"]}, (SIX, "127.0.0.1")),
                              ({"allow": ["2001:db8::/32"]}, (SIX,)),
                              ({"allow": ["192.0.2.0/24", "127.0.0.0/8"]}, (FOUR,)),
                              ({"allow": ["192.0.2.0/24", "::/0"], "deny": ["192.0.2.8/29"]}, (SIX,))):
            with self.subTest(lists):
                p = self.gate(listener=lists)
                for host in everything:
                    c = self.to(host)
                    self.assertEqual(c.reply().code, 220 if host in served else 554, host)
                p.stop()

    def test_refused_in_the_log(self):
        p = self.gate()
        self.assertEqual(self.refusal("127.0.0.1"), "554 5.7.1 This server is not reached from here")
        line = p.events("connection")[0]
        self.assertEqual((line["listener"], line["destination"]), ("main", "127.0.0.1:25"))
        self.assertIn("deny", line["note"])


class Tls(Interception):
    def secure(self, **listener):
        return self.gate(certificates=certificate_settings(main=certificates().good),
                         listener={"tls": "mirror", "certificate": "main", **listener})

    def test_opportunistic_by_itself(self):
        sink = self.tls_sink(host=FOUR, port=25)
        p = self.gate()
        c = self.to(FOUR)
        self.assertNotIn("STARTTLS", c.hello())
        self.assertEqual(c.message().code, 250)
        self.assertEqual(p.transactions()[0]["upstream_tls"], "TLSv1.3")
        self.assertEqual([x for x in sink.commands() if x[:4] in ("EHLO", "STAR")],
                         ["EHLO client.example.org", "STARTTLS", "EHLO client.example.org"])

    def test_tls_that_fails_is_left_alone_the_next_time(self):
        pair = certificates().good
        self.tls_sink(host=FOUR, port=25, rules=[Rule("STARTTLS", close=True)], pair=pair)
        p = self.gate()
        c = self.to(FOUR)
        c.expect(220)
        self.assertEqual(c.say("EHLO me.example").code, 421)
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertEqual(p.transactions()[0]["upstream_tls"], "-")

    def test_starttls_refused_by_the_server(self):
        self.tls_sink(host=FOUR, port=25, rules=[Rule("STARTTLS", reply="454 4.7.0 Not now")])
        self.gate()
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)

    def test_required_by_the_template(self):
        self.sink(host=FOUR, port=25)
        toward = {"strict": {"servers": ["127.0.0.1:1"], "tls": "required", "verify": False}}
        p = self.gate(toward=toward, listener={"upstream": "strict"})
        c = self.to(FOUR)
        c.expect(220)
        self.assertEqual(c.say("EHLO me.example").code, 421)
        p.stop()
        self.sinks.pop().stop()
        self.tls_sink(host=FOUR, port=25)
        self.gate(toward=toward, listener={"upstream": "strict"})
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)
        c = self.to(FOUR)
        c.expect(220)
        self.assertEqual(c.say("HELO me.example").code, 421)  # without EHLO there is no STARTTLS

    def test_mirror(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.secure()
        c = self.to(FOUR)
        self.assertIn("STARTTLS", c.hello())
        self.assertIsNone(sink.conversations[0].tls)  # the server sees no more TLS than the client wants
        c.starttls()
        self.assertEqual(c.say("NOOP").code, 250)
        self.assertNotIn("STARTTLS", c.ehlo())
        self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.conversations[0].tls, "TLSv1.3")

    def test_mirror_in_the_clear(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.secure()
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertIsNone(sink.conversations[0].tls)

    def test_mirror_without_anything_to_mirror(self):
        self.sink(host=FOUR, port=25)
        self.secure()
        c = self.to(FOUR)
        self.assertNotIn("STARTTLS", c.hello())
        self.assertEqual(c.say("STARTTLS").code, 454)

    def test_implicit_on_both_sides(self):
        sink = self.tls_sink(host=FOUR)
        self.gate(certificates=certificate_settings(main=certificates().good), redirect=False,
                  toward={"toward": {"servers": ["127.0.0.1:1"], "tls": "implicit", "verify": False}},
                  listener={"tls": "implicit", "certificate": "main", "upstream": "toward"})
        self.network.redirect(GATE, f"tcp dport {sink.tls_port}")
        c = self.to(FOUR, sink.tls_port, tls=True)
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.conversations[0].tls, "TLSv1.3")
        with self.assertRaises((Closed, ConnectionError)):  # refused without a word that nobody could read
            self.to("127.0.0.1", sink.tls_port).reply()


class Many(Interception):
    def test_many_servers(self):
        """Hundreds of destinations, some at once, all let go in the end."""
        p = self.gate(listener={"deny": []})
        with socket.create_server(("127.0.0.1", 25), backlog=200):
            clients = [self.to(f"127.1.{n}.1") for n in range(100)]
            for c in clients[:50]:
                c.reset()
            time.sleep(0.3)
        self.assertRegex(str(clients[-1].reply()), "^421 4.3.2 ")
        sink = self.sink(host="0.0.0.0", port=25)
        for n in range(100):
            c = self.to(f"127.2.{n}.1")
            c.hello()
            self.assertEqual(c.message().code, 250)
            c.quit()
        self.assertEqual(len(sink.messages()), 100)
        self.assertEqual(len({t["upstream"] for t in p.transactions(100)}), 100)

    def test_several_workers(self):
        self.sink(host=SIX, port=25)
        p = self.gate(workers=3)
        clients = [self.to(SIX) for _ in range(30)]
        for c in clients:
            c.hello()
        for c in clients:
            self.assertEqual(c.message().code, 250)
        self.assertEqual(len(p.transactions(30)), 30)


class Settings(Case):
    def refused(self, **listener):
        settings = config(1)
        settings["listeners"]["main"] |= listener
        path = self.folder / "p.yaml"
        path.write_text(yaml(settings).lstrip("\n"))
        done = run("-t", "-c", str(path))
        self.assertEqual(done.returncode, 78, done)
        return done.stderr

    def test_refused(self):
        self.assertIn("'lan' must be an address or a network", self.refused(intercept="redirect", allow=["lan"]))


if __name__ == "__main__":
    unittest.main()
