# SPDX-License-Identifier: MIT
"""What one client may have of the server, over all workers: sessions, connections, new TLS handshakes."""
import contextlib
import os
import signal
import socket
import ssl
import time
import unittest

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import Closed, Smtp, trusting
from tests.support.daemon import merge

ME, OTHER = ("127.0.0.1", 0), ("127.0.0.2", 0)


class Clients(Case):
    def limited(self, sink=None, workers=1, more=None, **limits):
        certs = certificates()
        tls = {name: listener(tls=name, certificate="good") for name in ("starttls", "implicit")}
        return self.postern(sink or self.sink(), workers=workers, listeners=tls,
                            certificates=certificate_settings(good=certs.good),
                            limits={"unlimited_clients": [], **limits}, **(more or {}))

    def greeted(self, p, source=ME, **options):
        """A session that was let in, or the code it was sent away with."""
        c = self.client(p, source=source, **options)
        code = c.reply().code
        if code != 220:
            self.assertTrue(c.at_eof(5))
            return code
        return c

    def let_in(self, p, source=ME):
        return net.wait_until(lambda: isinstance(c := self.greeted(p, source), Smtp) and c, 10, "room", 0.05)

    def reached(self, p, name):
        line = p.wait_log(f"event=limit limit={name} .*client=127.0.0.1:[0-9]+ refused=1")
        p.signal(signal.SIGUSR2)
        p.wait_log(f"event=counters group=session .*{name}=")
        return line

    # ---- sessions at once ----

    def test_sessions(self):
        for workers in (1, 3):
            with self.subTest(workers=workers):
                p = self.limited(workers=workers, sessions_per_client=4)
                mine = [self.greeted(p) for _ in range(4)]
                self.assertEqual(self.greeted(p), 421)
                self.assertEqual(self.greeted(p), 421)
                others = self.greeted(p, OTHER)
                self.assertEqual(others.say("NOOP").code, 250)
                self.reached(p, "sessions_per_client")
                mine[0].quit()
                mine[1].reset()
                again = [self.let_in(p), self.let_in(p)]
                self.assertEqual(self.greeted(p), 421)
                for c in mine[2:] + again:
                    c.say("NOOP", 250)

    def test_refused_in_the_protocol_of_the_listener(self):
        """Before TLS, so that a refusal costs no handshake: who waits for one sees the end at once."""
        p = self.limited(sessions_per_client=1)
        first = self.greeted(p)
        c = self.client(p, "starttls")
        reply = c.expect(421)
        self.assertTrue(reply.text.startswith("4.7.0 "), reply)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client(p, "implicit", tls=True)
        first.say("NOOP", 250)

    def test_a_dead_worker_leaves_nothing_behind(self):
        p = self.limited(workers=2, sessions_per_client=6)
        p.deaths_expected = True
        mine = [self.greeted(p) for _ in range(6)]
        self.assertEqual(self.greeted(p), 421)
        for pid in p.workers():
            os.kill(pid, signal.SIGKILL)
        for c in mine:
            with contextlib.suppress(ConnectionError, Closed):
                c.reply()
        for _ in range(6):
            self.let_in(p)
        self.assertEqual(self.greeted(p), 421)

    def test_reload(self):
        p = self.limited(sessions_per_client=2)
        mine = [self.greeted(p) for _ in range(2)]
        self.assertEqual(self.greeted(p), 421)
        p.reload(merge(p.settings, {"limits": {"sessions_per_client": 3}}))
        mine.append(self.greeted(p))
        self.assertEqual(self.greeted(p), 421)
        p.reload(merge(p.settings, {"limits": {"unlimited_clients": ["127.0.0.1"]}}))
        mine += [self.greeted(p) for _ in range(5)]
        p.reload(merge(p.settings, {"limits": {"unlimited_clients": []}}))
        self.assertEqual(self.greeted(p), 421)
        for c in mine:
            c.say("NOOP", 250)

    def test_own_host_is_not_limited_unless_told(self):
        p = self.limited(sessions_per_client=1, connections_per_client=1, unlimited_clients=["127.0.0.0/8", "::1"])
        for c in [self.greeted(p) for _ in range(10)]:
            c.say("NOOP", 250)
        p = self.postern(self.sink(), limits={"sessions_per_client": 1})
        for c in [self.greeted(p) for _ in range(3)]:
            c.say("NOOP", 250)

    def test_clients_that_vanish(self):
        """RST at every moment: before accept, before the greeting, after it. Nothing stays counted (RE-09)."""
        p = self.limited(workers=2, sessions_per_client=5)
        for i in range(300):
            with socket.create_connection(("127.0.0.1", p.port)) as s:
                if i % 3 == 1:
                    s.sendall(b"EHLO x\r\n")
                elif i % 3 == 2:
                    s.recv(1)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for _ in range(5):
            self.let_in(p)
        self.assertEqual(self.greeted(p), 421)

    # ---- connections and handshakes a minute ----

    def test_connections(self):
        p = self.limited(workers=2, connections_per_client=5)
        for _ in range(5):
            self.greeted(p).close()
        self.assertEqual([self.greeted(p) for _ in range(3)], [421, 421, 421])
        self.assertIsInstance(self.greeted(p, OTHER), Smtp)
        self.reached(p, "connections_per_client")

    def test_connections_come_back_with_time(self):
        p = self.limited(connections_per_client=120)  # one in half a second
        count = 0
        while isinstance(c := self.greeted(p), Smtp):
            c.close()
            count += 1
        self.assertGreaterEqual(count, 120)
        self.assertEqual(self.greeted(p), 421)
        time.sleep(0.6)
        self.assertIsInstance(self.greeted(p), Smtp)

    def handshake(self, p, context=None, session=None, source=ME):
        """The code that STARTTLS gets, and the session that came of it."""
        c = self.client(p, "starttls", context=context, source=source)
        c.hello()
        code = c.say("STARTTLS").code
        if code == 220:
            c.socket = c.context.wrap_socket(c.socket, session=session) if session else trusting_wrap(c)
            c.ehlo()
            self.assertEqual(c.message().code, 250)
            return code, c.socket.session
        self.assertEqual(c.message().code, 250)  # in the clear it goes on
        return code, None

    def test_handshakes(self):
        p = self.limited(workers=2, handshakes_per_client=3)
        self.assertEqual([self.handshake(p)[0] for _ in range(5)], [220, 220, 220, 454, 454])
        self.assertEqual(self.handshake(p, source=OTHER)[0], 220)
        self.reached(p, "handshakes_per_client")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client(p, "implicit", tls=True)
        self.assertIsInstance(self.greeted(p), Smtp)

    def test_resumed_sessions_do_not_count(self):
        p = self.limited(handshakes_per_client=2)
        context = trusting()
        code, session = self.handshake(p, context)
        for _ in range(8):
            code, session = self.handshake(p, context, session)
            self.assertEqual(code, 220)
        self.assertEqual([self.handshake(p)[0] for _ in range(2)], [220, 454])


def trusting_wrap(c):
    return (c.context or trusting()).wrap_socket(c.socket)


if __name__ == "__main__":
    unittest.main()
