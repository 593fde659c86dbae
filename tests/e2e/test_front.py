# SPDX-License-Identifier: MIT
"""A proxy in front of postern names the client, in a PROXY header or by XCLIENT: believed from listed networks alone."""
import contextlib
import socket
import ssl
import struct
import threading
import zlib

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener, with_filters
from tests.support.client import Closed, Smtp, trusting
from tests.support.daemon import BUILD

FRONT = "127.0.0.2"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.9 198.51.100.2 4711 25\r\n"
V1_SIX = b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 25\r\n"


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def v2(command=0x21, family=0x11, rest=socket.inet_aton("203.0.113.9") + socket.inet_aton("198.51.100.2") +
       struct.pack(">HH", 4711, 25)):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(rest)) + rest


class Tap:
    """Stands before a server and keeps the PROXY headers (version 2) of those who come; what follows goes through."""

    def __init__(self, port):
        self.behind = port
        self.headers = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._pass_on, args=(self.listener.accept()[0],), daemon=True).start()

    def _pass_on(self, client):
        with client, socket.create_connection(("127.0.0.1", self.behind)) as server, contextlib.suppress(OSError):
            head = client.recv(16, socket.MSG_WAITALL)
            rest = int.from_bytes(head[14:16], "big")
            self.headers.append(head + (client.recv(rest, socket.MSG_WAITALL) if rest else b""))
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()

    def _pump(self, source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def named(self):
        """The headers that name somebody."""
        return [h for h in self.headers if h[12:13] == b"\x21"]


class PassedOn(Case):
    """What a front said is said to the server: both ends, TLS, the name that it asked for."""

    def gate(self, **trust):
        tap = self.stack.enter_context(Tap(self.sink().port))
        p = self.postern(tap.port, upstreams={"mta": {"identity": "proxy-v2"}}, listeners={"main": listener(**trust)})
        return tap, p

    def connect(self, p):
        return self.stack.enter_context(Smtp(p.port, source=(FRONT, 0)))

    def check(self, tap, command, family, addresses, *tlvs):
        header, = tap.named()
        self.assertEqual(header[12:14], bytes([command, family]))
        self.assertEqual(header[16:16 + len(addresses)], addresses)
        for t in tlvs:
            self.assertIn(t, header[16 + len(addresses):])

    def test_from_a_header(self):
        tap, p = self.gate(trust_proxy=[FRONT])
        said = tlv(2, b"mail.example.org") + tlv(0x20, b"\1\0\0\0\1" + tlv(0x21, b"TLSv1.3"))
        for family, ends in ((0x11, v2()[16:]), (0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::9") +
                                                 socket.inet_pton(socket.AF_INET6, "2001:db8::1") + struct.pack(">HH", 4711, 25))):
            with self.subTest(family=family):
                tap.headers.clear()
                c = self.connect(p)
                c.send(v2(family=family, rest=ends + said))
                c.hello()
                self.assertEqual(c.message().code, 250)
                ident = p.transactions()[-1]["sid"]
                self.check(tap, 0x21, family, ends, *[tlv(5, ident.encode()), said[:3 + 16], said[19:]])

    def test_from_xclient(self):
        """Without DESTADDR the end reached is postern's own, in the family of the client."""
        six, four = socket.inet_pton(socket.AF_INET6, "2001:db8::9"), socket.inet_aton("203.0.113.9")
        for words, family, start, end in (
                ("ADDR=203.0.113.9 PORT=4711 DESTADDR=198.51.100.2 DESTPORT=25", 0x11,
                 four + socket.inet_aton("198.51.100.2"), struct.pack(">HH", 4711, 25)),
                ("ADDR=IPV6:2001:db8::9 PORT=4711", 0x21,
                 six + b"\0" * 10 + b"\xff\xff" + socket.inet_aton("127.0.0.1"), struct.pack(">H", 4711)),
                ("ADDR=203.0.113.9 PORT=4711 DESTADDR=IPV6:2001:db8::1", 0x11, four + bytes(4), struct.pack(">H", 4711)),
                ("ADDR=[UNAVAILABLE]", 0, b"", b"")):
            with self.subTest(words):
                tap, p = self.gate(trust_xclient=[FRONT])
                c = self.connect(p)
                c.hello()
                c.say("XCLIENT " + words, 220)
                c.ehlo()
                self.assertEqual(c.message().code, 250)
                self.check(tap, 0x21, family, start + end)

    def test_nothing_but_local_of_its_own_connections(self):
        tap, p = self.gate()
        self.assertEqual(self.ready_client(p).message().code, 250)
        self.assertEqual({h for h in tap.headers if h not in tap.named()}, {SIGNATURE + b"\x20\0\0\0"})


class Front(Case):
    def gate(self, **more):
        return self.postern(self.sink(), certificates=certificate_settings(main=certificates().good),
                            timeouts={"proxy_header": "1s"},
                            listeners={"main": listener(trust_proxy=[f"{FRONT}/32"], **more),
                                       "implicit": listener(trust_proxy=[FRONT], tls="implicit", certificate="main")})

    def connect(self, p, name="main", source=FRONT):
        return self.stack.enter_context(Smtp(p.listener_port(name), source=(source, 0)))

    def check_client(self, p, c, address):
        c.hello()
        self.assertEqual(c.message().code, 250)
        p.wait_log(f"client={address} ")

    def test_headers(self):
        p = self.gate()
        for header, address in ((V1, "203.0.113.9"), (V1_SIX, "2001:db8::9"), (v2(), "203.0.113.9"),
                                (v2(rest=v2()[16:] + tlv(4, b"x" * 100)), "203.0.113.9"),
                                (b"PROXY UNKNOWN\r\n", FRONT), (v2(0x20, 0, b""), FRONT), (v2(0x21, 0, b""), FRONT)):
            for size in (len(header), 1):
                with self.subTest(header=header, size=size):
                    c = self.connect(p)
                    c.trickle(header, size)
                    self.check_client(p, c, address)

    def test_implicit_tls_in_the_segment_of_the_header(self):
        p = self.gate()
        for header in (V1, v2()):
            with self.subTest(header=header):
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = trusting().wrap_bio(incoming, outgoing, server_hostname="mail.example.org")
                with self.assertRaises(ssl.SSLWantReadError):
                    tls.do_handshake()
                with socket.create_connection(("127.0.0.1", p.listener_port("implicit")), 10, (FRONT, 0)) as s:
                    s.sendall(header + outgoing.read())
                    for _ in range(10):
                        try:
                            tls.do_handshake()
                            break
                        except ssl.SSLWantReadError:
                            s.sendall(outgoing.read())
                            incoming.write(s.recv(65536))
                    s.sendall(outgoing.read())
                    while True:
                        try:
                            self.assertTrue(tls.read(3).startswith(b"220"))
                            break
                        except ssl.SSLWantReadError:
                            incoming.write(s.recv(65536))

    def test_what_is_no_header(self):
        p = self.gate()
        wrong = v2(rest=v2()[16:] + tlv(3, struct.pack(">I", zlib.crc32(b"not this one"))))
        for header in (b"EHLO c\r\n" + b"x" * 20, V1.replace(b"4711", b"65536"), b"PROXY " + b"x" * 200, v2(0x21, 0x12), wrong):
            with self.subTest(header=header):
                c = self.connect(p)
                c.send(header)
                self.assertTrue(c.at_eof())
        p.wait_log("note=")

    def test_who_says_nothing(self):
        c = self.connect(self.gate())
        c.send(b"PROXY TCP4 ")
        self.assertTrue(c.at_eof(5))

    def test_from_anybody_else_it_is_no_command(self):
        p = self.gate()
        c = self.connect(p, source="127.0.0.3")
        c.expect(220)
        self.assertEqual(c.say("PROXY TCP4 203.0.113.9 198.51.100.2 4711 25").code, 500)
        self.check_plain(c)
        for header in (v2(), V1):
            with self.subTest(header=header):
                c = self.connect(p, source="127.0.0.3")
                c.expect(220)
                c.send(header)
                self.assertEqual(c.reply().code, 500)
                c = self.connect(p, source="127.0.0.3")
                c.send(header + b"EHLO c\r\n")
                self.assertNotEqual([r for r in self.all_replies(c) if r.code >= 500], [])
        self.assertNotIn("203.0.113.9", p.log())

    def all_replies(self, c):
        c.send(b"QUIT\r\n")
        replies = []
        with contextlib.suppress(Closed, ConnectionError):
            while True:
                replies.append(c.reply())
        return replies

    def check_plain(self, c):
        c.ehlo()
        self.assertEqual(c.message().code, 250)

    def test_tls_that_ended_in_the_proxy(self):
        """What the proxy says of TLS counts: AUTH may be offered, STARTTLS is not."""
        p = self.gate(tls="starttls", certificate="main")
        c = self.connect(p)
        c.send(v2(rest=v2()[16:] + tlv(0x20, b"\1\0\0\0\1" + tlv(0x21, b"TLSv1.3"))))
        self.assertNotIn("STARTTLS", c.hello())
        self.assertEqual(c.message().code, 250)
        p.wait_log("tls=TLSv1.3 ")


class Xclient(Case):
    def gate(self, filters=None, **more):
        return self.postern(self.sink(), certificates=certificate_settings(main=certificates().good),
                            listeners={"main": listener(trust_xclient=[FRONT], **more)},
                            **{"plugins": {"path": str(BUILD / "tests" / "plugins")}, **(filters or {})})

    def connect(self, p, source=FRONT):
        return self.stack.enter_context(Smtp(p.port, source=(source, 0)))

    def test_the_client_is_who_it_says(self):
        p = self.gate()
        for said, address in (("203.0.113.9", "203.0.113.9"), ("IPV6:2001:DB8:0::9", "2001:db8::9"),
                              ("IPV6:::ffff:203.0.113.8", "203.0.113.8")):
            with self.subTest(said):
                c = self.connect(p)
                self.assertEqual(c.hello()["XCLIENT"], "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")
                self.assertEqual(c.say(f"XCLIENT ADDR={said} PORT=4711 HELO=c.test LOGIN=jane").code, 220)
                c.ehlo()
                self.assertEqual(c.message().code, 250)
                p.wait_log(f"client={address} ")

    def test_anybody_else(self):
        c = self.connect(self.gate(), "127.0.0.3")
        self.assertNotIn("XCLIENT", c.hello())
        self.assertEqual(str(c.say("XCLIENT ADDR=203.0.113.9")), "550 5.7.0 Only a trusted proxy may say who the client is")

    def test_limits_count_the_named_client(self):
        """Two sessions each: the front has them until it says who the client is, then the client has."""
        p = self.gate({"limits": {"sessions_per_client": 2, "unlimited_clients": []}})
        named = []
        for _ in range(2):
            named.append(self.connect(p))
            named[-1].hello()
            named[-1].say("XCLIENT ADDR=203.0.113.9", 220)
        c = self.connect(p)  # the front has none any more
        c.hello()
        self.assertEqual(str(c.say("XCLIENT ADDR=203.0.113.9")),
                         "421 4.7.0 Too many sessions from your address; try again later")
        self.assertTrue(c.at_eof())
        p.wait_log("limit=sessions_per_client listener=main client=203.0.113.9:0 ")
        c = self.connect(p)
        c.hello()
        c.say("XCLIENT ADDR=203.0.113.10", 220)
        waiting = [self.connect(p), self.connect(p)]
        for c in waiting:
            c.expect(220)
        self.assertEqual(self.connect(p).reply().code, 421)  # two of the front's own
        waiting[0].ehlo()
        waiting[0].say("XCLIENT ADDR=[UNAVAILABLE]", 220)  # of nobody: it stays the front's
        self.assertEqual(self.connect(p).reply().code, 421)
        waiting[1].quit()
        named[0].quit()
        net.wait_until(lambda: self.names_once_more(p), 10, "the place of the session that ended")

    def names_once_more(self, p):
        with self.connect(p) as c:
            return c.reply().code == 220 and c.say("EHLO f").code and c.say("XCLIENT ADDR=203.0.113.9").code == 220

    def test_rates_are_of_the_named_client(self):
        """So do the keys of filters."""
        limits = {"one": {"key": ["client/32"], "count": "messages", "rate": "1/1h", "burst": 1}}
        p = self.gate({**with_filters("rate", rate={"plugin": "ratelimit", "store": {"type": "memory"}, "limits": limits}),
                       "plugins": {"path": str(BUILD / "plugins")}})
        for address, codes in (("203.0.113.9", (250, 450)), ("203.0.113.10", (250, 450)), ("IPV6:::ffff:203.0.113.10", (450,))):
            c = self.connect(p)
            c.hello()
            c.say(f"XCLIENT ADDR={address}", 220)
            c.ehlo()
            for code in codes:
                reply = c.say("MAIL FROM:<a@x.test>")
                reply = c.say("RCPT TO:<b@y.test>") if reply.code == 250 else reply
                if reply.code == 250:
                    c.say("DATA", 354)
                    reply = c.content("Subject: t\r\n\r\nbody\r\n")
                self.assertEqual(reply.code // 100, code // 100, (address, reply))

    def test_tls_first_where_it_is_required(self):
        c = self.connect(self.gate(tls="required", certificate="main"))
        self.assertNotIn("XCLIENT", c.hello())
        self.assertEqual(c.say("XCLIENT ADDR=203.0.113.9").code, 530)
        c.starttls()
        self.assertIn("XCLIENT", c.ehlo())
        self.assertEqual(c.say("XCLIENT ADDR=203.0.113.9").code, 220)
        c.ehlo()
        self.assertEqual(c.message().code, 250)

    def test_filters_meet_the_new_client(self):
        record = self.folder / "record"
        record.touch()
        record.chmod(0o666)
        p = self.gate(with_filters("one", one={"plugin": "recorder", "file": str(record)}))
        c = self.connect(p)
        c.hello()
        c.say("XCLIENT ADDR=203.0.113.9 LOGIN=jane+2Bx", 220)
        c.ehlo()
        calls = [line.split(" ") for line in record.read_text().splitlines()]
        self.assertEqual([call[0] for call in calls], ["begin", "CONNECT", "HELO", "DISCONNECT", "end", "begin", "CONNECT",
                                                       "AUTH", "HELO"])
        self.assertIn("jane+x", calls[7])

    def test_a_filter_refuses_the_new_client(self):
        for phase in ("connect", "auth"):
            with self.subTest(phase):
                rule = {"plugin": "refuse", "phase": phase, "action": "reject", "code": 550, "text": "not you"}
                p = self.gate(with_filters("one", one=rule))
                c = self.connect(p)
                if phase == "connect":
                    self.assertEqual(c.reply().code, 550)
                    continue
                c.hello()
                self.assertEqual(c.say("XCLIENT ADDR=203.0.113.9 LOGIN=jane").code, 550)
                self.assertTrue(c.at_eof())
                p.wait_log("client=203.0.113.9 ")

    def test_what_depends_on_the_address_is_decided_anew(self):
        p = self.gate(lenient_sync=["203.0.113.0/24"])
        c = self.connect(p)
        c.hello()
        c.say("XCLIENT ADDR=203.0.113.9", 220)
        c.send(b"EHLO c\r\nNOOP\r\n")
        self.assertEqual([c.reply().code, c.reply().code], [250, 250])
        c = self.connect(p)
        c.hello()
        c.say("XCLIENT ADDR=198.51.100.9", 220)
        c.send(b"EHLO c\r\nNOOP\r\n")
        self.assertEqual(c.reply().code, 554)

    def chain(self, method, **second):
        """Two daemons, the first of which names its clients to the second."""
        behind = self.postern(self.sink(), listeners={"main": listener(**second)})
        return behind, self.postern(behind.port, upstreams={"mta": {"identity": method}})

    def test_a_postern_in_front(self):
        for method in ("auto", "xclient", "proxy-v1", "proxy-v2"):
            with self.subTest(method):
                trust = {"trust_proxy" if method.startswith("proxy") else "trust_xclient": ["127.0.0.1"]}
                behind, front = self.chain(method, **trust)
                for source in ("127.0.0.9", "127.0.0.10"):
                    c = self.stack.enter_context(Smtp(front.port, source=(source, 0)))
                    c.hello("c.example.net")
                    self.assertEqual(c.message().code, 250)
                    behind.wait_log(f"client={source} ")

    def test_three_in_a_row(self):
        """The one in the middle hears by XCLIENT and says so in a PROXY header."""
        last = self.postern(self.sink(), listeners={"main": listener(trust_proxy=["127.0.0.1"])})
        middle = self.postern(last.port, upstreams={"mta": {"identity": "proxy-v2"}},
                              listeners={"main": listener(trust_xclient=["127.0.0.1"])})
        first = self.postern(middle.port, upstreams={"mta": {"identity": "xclient"}})
        c = self.stack.enter_context(Smtp(first.port, source=("127.0.0.9", 0)))
        c.hello()
        self.assertEqual(c.message().code, 250)
        last.wait_log("client=127.0.0.9 ")
