# SPDX-License-Identifier: MIT
"""Exim, OpenSMTPD and Dovecot's submission service hear who the client is, as far as each speaks of it, and write it down.

    front (127.0.0.2: PROXY header; 127.0.0.3: XCLIENT) --> postern --identity--> server --> collector

The front names clients with addresses made for documentation, so that none of them has to exist.
"""
import re
import socket
import struct
import unittest
import uuid

from tests.support import net, servers
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import Smtp
from tests.support.servers import dovecot_server, exim_server

BY_HEADER, BY_XCLIENT = "127.0.0.2", "127.0.0.3"
FOUR, SIX = ("203.0.113.9", "198.51.100.2"), ("2001:db8::9", "2001:db8::1")
NAME = "c.example.net"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(client, reached):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    ends = socket.inet_pton(family, client) + socket.inet_pton(family, reached) + struct.pack(">HH", 4711, 25)
    return SIGNATURE + bytes([0x21, 0x21 if ":" in client else 0x11]) + struct.pack(">H", len(ends)) + ends


class Identity(Case):
    strict_sink = False
    server_name = ""
    options = {}
    port = "port"  # the attribute of the server

    @classmethod
    def setUpClass(cls):
        if not cls.server_name:
            return
        cls.starter = servers.start(cls.server_name, **cls.options)
        cls.server = cls.starter.__enter__()

    @classmethod
    def tearDownClass(cls):
        if cls.server_name:
            cls.starter.__exit__(None, None, None)

    def gate(self, method, **upstream):
        main = listener(trust_proxy=[BY_HEADER], trust_xclient=[BY_XCLIENT], auth_needs_tls=False)
        return self.postern(getattr(self.server, self.port), listeners={"main": main},
                            upstreams={"mta": {"identity": method, **upstream}})

    def session(self, p, source, client, reached=None, more=""):
        """A client that its front has named."""
        c = self.stack.enter_context(Smtp(p.port, source=(source, 0)))
        if source == BY_HEADER:
            c.send(header(client, reached))
        c.expect(220)
        if source == BY_XCLIENT:
            c.ehlo("front.example.net")
            address = f"IPV6:{client}" if ":" in client else client
            c.say(f"XCLIENT ADDR={address} PORT=4711{more}", 220)
        c.ehlo(NAME)
        return c

    def send(self, c):
        """The message as it came out of the server."""
        nonce = uuid.uuid4().hex
        reply = c.message(content=f"Subject: {nonce}\r\n\r\nbody\r\n")
        self.assertEqual(reply.code, 250, reply)
        found = net.wait_until(lambda: [m.content.decode() for m in self.server.collector.messages()
                                        if nonce.encode() in m.content], 30, "the message")
        return re.sub(r"\r\n[ \t]+", " ", found[0]).split("\r\n", 1)[0]

    def named(self):
        """(how, source, client, reached)"""
        for source in (BY_HEADER, BY_XCLIENT):
            for client, reached in (FOUR, SIX):
                yield source, client, reached

    def check_named(self, method, login=None, **upstream):
        p = self.gate(method, **upstream)
        for source, client, reached in self.named():
            with self.subTest(method=method, source=source, client=client):
                c = self.session(p, source, client, reached)
                if login:
                    self.assertEqual(c.login(*login).code, 235)
                for _ in range(2):
                    self.check_received(self.send(c), client)
                self.check_log(client)

    def check_received(self, line, client):
        self.assertTrue(line.startswith("Received: "), line)
        self.assertIn(client, line)
        self.assertIn(NAME, line)

    def check_log(self, client):
        self.assertIn(client, self.server.log())

    def refused(self, method):
        """What a client reads when the server does not take what was chosen."""
        p = self.gate(method)
        c = self.session(p, BY_HEADER, *FOUR)
        return c.say("MAIL FROM:<a@x.test>")

    def check_down(self, method):
        """A server that postern itself cannot talk to is no server."""
        c = self.stack.enter_context(Smtp(self.gate(method).port, source=(BY_HEADER, 0)))
        c.send(header(*FOUR))
        self.assertEqual(c.reply().code, 421)

    def check_not_named(self, method):
        """The mail passes, and the server knows of postern alone."""
        line = self.send(self.session(self.gate(method), BY_HEADER, *FOUR))
        self.assertIn("127.0.0.1", line)
        self.assertNotIn(FOUR[0], line)


class Exim(Identity):
    """It speaks neither XCLIENT nor XFORWARD."""

    server_name = "exim"

    def test_by_itself_it_hears_nothing(self):
        for method in ("auto", "none"):
            with self.subTest(method):
                self.check_not_named(method)

    def test_what_it_does_not_speak(self):
        for method in ("xclient", "xforward"):
            with self.subTest(method):
                self.assertEqual(self.refused(method).code, 421)


class EximProxy(Identity):
    server_name = "exim"
    options = {"packages_of": exim_server.HEAVY,
               "more": "hosts_proxy = 127.0.0.1\nlog_selector = +incoming_port +proxy\n"
                       "acl_smtp_connect = ${if eq{$sender_host_address}{203.0.113.66}{deny}{accept}}"}

    def test_version_1(self):
        self.check_named("proxy-v1")

    def test_version_2(self):
        self.check_named("proxy-v2")

    def test_the_port_too(self):
        self.send(self.session(self.gate("proxy-v2"), BY_HEADER, *SIX))
        self.assertIn(f"[{SIX[0]}]:4711 ", self.server.log())

    def test_auto_never_guesses(self):
        self.check_down("auto")

    def test_a_name_that_it_refuses(self):
        """As it would the client itself."""
        p = self.gate("proxy-v2")
        c = self.stack.enter_context(Smtp(p.port, source=(BY_HEADER, 0)))
        c.send(header(*FOUR))
        c.expect(220)
        c.ehlo("under_score.example.net")  # no name, unless helo_allow_chars says so
        self.assertEqual(c.say("MAIL FROM:<a@x.test>").code, 501)
        self.send(self.session(p, BY_HEADER, *FOUR))

    def test_a_client_that_it_refuses(self):
        """It reads so, and the server is not down for others."""
        p = self.gate("proxy-v2")
        c = self.session(p, BY_HEADER, "203.0.113.66", FOUR[1])
        reply = c.say("MAIL FROM:<a@x.test>")
        self.assertEqual(reply.code, 550, reply)
        self.send(self.session(p, BY_HEADER, *FOUR))


class OpenSmtpd(Identity):
    server_name = "opensmtpd"

    def test_by_itself_it_hears_nothing(self):
        for method in ("auto", "none"):
            with self.subTest(method):
                self.check_not_named(method)

    def test_what_it_does_not_speak(self):
        for method in ("xclient", "xforward"):
            with self.subTest(method):
                self.assertEqual(self.refused(method).code, 421)
        self.check_down("proxy-v2")


class OpenSmtpdProxy(Identity):
    """Version 2 alone."""

    server_name = "opensmtpd"
    port = "proxied"

    @classmethod
    def setUpClass(cls):
        proxied = net.free_port()
        cls.options = {"more": f"listen on 127.0.0.1 port {proxied} hostname smtpd.example.org filter all proxy-v2"}
        super().setUpClass()
        cls.server.proxied = proxied

    def test_version_2(self):
        self.check_named("proxy-v2")

    def test_what_it_does_not_speak(self):
        self.check_down("proxy-v1")

    def test_a_client_that_nobody_knows_is_not_postern(self):
        p = self.gate("proxy-v2")
        c = self.session(p, BY_XCLIENT, "[UNAVAILABLE]")
        self.assertEqual(c.say("MAIL FROM:<a@x.test>").code, 421)


class Dovecot(Identity):
    """It wants AUTH, which is relayed to it."""

    server_name = "dovecot"
    login = ("alice", "sesame")

    @classmethod
    def setUpClass(cls):
        if lacks := dovecot_server.missing():
            raise unittest.SkipTest(lacks)
        super().setUpClass()

    def check_log(self, client):
        self.assertRegex(self.server.log(), rf"Login: user=<alice>, method=PLAIN, rip={client},")


class DovecotXclient(Dovecot):
    def test_xclient(self):
        for method in ("auto", "xclient"):
            self.check_named(method, self.login)

    def test_the_session_has_its_name(self):
        p = self.gate("xclient")
        c = self.session(p, BY_HEADER, *FOUR)
        self.assertEqual(c.login(*self.login).code, 235)
        self.send(c)
        self.assertIn(f"session=<{p.transactions()[-1]['sid']}>", self.server.log())

    def test_a_login_that_a_front_names(self):
        """It arrives, and AUTH is wanted all the same."""
        p = self.gate("xclient")
        c = self.session(p, BY_XCLIENT, FOUR[0], more=" LOGIN=alice")
        self.assertEqual(c.say("MAIL FROM:<a@x.test>").code, 530)

    def test_none(self):
        p = self.gate("none")
        c = self.session(p, BY_HEADER, *FOUR)
        self.assertEqual(c.login(*self.login).code, 235)
        self.assertNotIn(FOUR[0], self.send(c))

    def test_what_it_does_not_speak(self):
        self.assertEqual(self.refused("xforward").code, 421)


class DovecotProxy(Dovecot):
    port = "proxied"

    def test_version_1(self):
        self.check_named("proxy-v1", self.login)

    def test_version_2(self):
        self.check_named("proxy-v2", self.login)

    def test_the_end_that_was_reached(self):
        c = self.session(self.gate("proxy-v2"), BY_HEADER, *SIX)
        self.assertEqual(c.login(*self.login).code, 235)
        self.assertIn(f"rip={SIX[0]}, lip={SIX[1]}", self.server.log())

    def test_auto_never_guesses(self):
        self.check_down("auto")
