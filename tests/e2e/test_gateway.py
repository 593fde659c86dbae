# SPDX-License-Identifier: MIT
"""postern on the path of mail, as `deploy/intercept` puts it there: three hosts, the daemon on the one in the middle,
which sends the mail itself (host), forwards it (router), or hands its frames on (bridge). Over IPv4 and IPv6."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

from tests.support import net
from tests.support.case import GTUBE, Case, with_filters
from tests.support.client import Closed, Smtp
from tests.support.daemon import BUILD, ROOT, config, yaml
from tests.support.netns import Hosts, forget_connections
from tests.support.sink import Rule, read_messages

SCRIPT = str(ROOT / "deploy" / "intercept")
GATE = 2526
FAMILIES = (4, 6)
PLACES = ("host", "router", "bridge")


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def freeze(process):
    """Returns when it stands still."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


class Gateway(Case):
    def lay(self, place="router"):
        """The network, and who sends the mail."""
        self.place = place
        self.hosts = self.stack.enter_context(Hosts(bridge=place == "bridge"))
        self.stack.callback(self.hosts.run, "router", SCRIPT, "down")
        self.sender = "router" if place == "host" else "client"

    def intercept(self, verb, *words, code=0):
        with self.hosts.on("router"):
            done = subprocess.run([SCRIPT, verb, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def where(self):
        return ("--place", self.place, *(() if self.place == "host" else ("--interface", self.hosts.inside)))

    def gate(self, mode="redirect", words=(), up=True, files=None, more=None, **listener):
        settings = config(1, port=GATE)
        settings["listeners"]["main"] = {"bind": [f"0.0.0.0:{GATE}", f"[::]:{GATE}"], "intercept": mode,
                                         "policy": "main", **listener}
        settings = {k: v for k, v in {**settings, "upstreams": None, **(more or {})}.items() if v is not None}
        with self.hosts.on("router"):
            p = self.postern(settings=settings, files=files)
        if up:
            said = self.intercept("up", "--mode", mode, *self.where(), *words)
            self.assertNotIn("warning", said)
        return p

    def serve(self, family=4, **options):
        with self.hosts.on("server"):
            return self.sink(host=self.hosts.server[family], port=25, **options)

    def to(self, family=4, port=25, **options):
        with self.hosts.on(self.sender):
            return self.stack.enter_context(Smtp(port, host=self.hosts.server[family], **options))

    def caught(self):
        """How many connections the rules have caught."""
        return int(self.intercept("status").split(" connections caught")[0].split()[-1])

    def deliver(self, family, **options):
        c = self.to(family, **options)
        c.hello()
        self.assertEqual(c.message().code, 250)
        c.quit()

    def seen_as(self, mode, source, family):
        """The address that the server sees."""
        if mode == "tproxy" and source == "client" and self.place != "host":
            return self.hosts.client[family]
        return self.hosts.outer[family]


class Places(Gateway):
    """Mail goes through postern, the server sees what it should, nothing goes in circles, and down leaves no trace."""

    def through(self, place, mode, source="own"):
        self.lay(place)
        before = self.hosts.state("router")
        p = self.gate(mode, source=source)
        for count, family in enumerate(FAMILIES, 1):
            sink = self.serve(family)
            self.deliver(family)
            self.assertEqual(sink.peers, [self.seen_as(mode, source, family)])  # and one connection, no more
            self.assertEqual(self.only_message(sink).sender, "a@x.test")
            self.assertEqual(self.caught(), count)
            line = p.transactions(count)[-1]
            client = self.hosts.outer if place == "host" else self.hosts.client
            server = self.hosts.server[family]
            self.assertEqual((line["client"], line["upstream"], line["verdict"]),
                             (client[family], f"[{server}]:25" if family == 6 else f"{server}:25", "accepted"))
        self.assertNotIn("a loop", p.log())
        self.intercept("down")
        self.assertEqual(self.hosts.state("router"), before)
        if place != "host":
            self.deliver(4)  # and the way is as it was
            self.assertEqual(self.sinks[0].peers[-1], self.hosts.client[4])
            self.assertEqual(len(p.transactions(2)), 2)

    def test_redirect_on_a_host(self):
        self.through("host", "redirect")

    def test_redirect_on_a_router(self):
        self.through("router", "redirect")

    def test_redirect_on_a_bridge(self):
        self.through("bridge", "redirect")

    def test_tproxy_on_a_host(self):
        self.through("host", "tproxy")

    def test_tproxy_on_a_router(self):
        self.through("router", "tproxy")

    def test_tproxy_on_a_bridge(self):
        self.through("bridge", "tproxy")

    def test_as_the_client_on_a_host(self):
        self.through("host", "tproxy", "client")

    def test_as_the_client_on_a_router(self):
        self.through("router", "tproxy", "client")

    def test_as_the_client_on_a_bridge(self):
        self.through("bridge", "tproxy", "client")


class Rules(Gateway):
    """Who is caught, and who is not."""

    MODES = ("redirect", "tproxy")

    def test_exempt_networks(self):
        for place in PLACES:
            for mode in self.MODES:
                with self.subTest(place=place, mode=mode):
                    self.lay(place)
                    server = self.hosts.server
                    p = self.gate(mode, ("--except", f"{server[4]}/32,{server[6]}"))
                    for family in FAMILIES:
                        self.serve(family)
                        self.deliver(family)
                    self.assertEqual((self.caught(), p.events("transaction")), (0, []))
                    self.stack.close()

    def test_only_some_clients(self):
        for place in ("router", "bridge"):
            for mode in self.MODES:
                with self.subTest(place=place, mode=mode):
                    self.lay(place)
                    p = self.gate(mode, ("--clients", "192.0.2.0/28"))  # none of IPv6
                    for family in FAMILIES:
                        self.serve(family)
                        self.deliver(family)
                    self.assertEqual([t["client"] for t in p.transactions()], [self.hosts.client[4]])
                    self.assertEqual(self.caught(), 1)
                    self.stack.close()

    def test_other_ports_and_what_comes_from_outside(self):
        """Also a server that happens to have the number of postern's port."""
        for mode in self.MODES:
            with self.subTest(mode):
                self.lay()
                self.gate(mode)
                with self.hosts.on("server"):
                    sinks = [self.sink(host=self.hosts.server[4], port=port) for port in (GATE, 2525)]
                for sink in sinks:
                    self.deliver(4, port=sink.port)
                    self.assertEqual(sink.peers, [self.hosts.client[4]])
                with self.hosts.on("client"):
                    inside = self.sink(host=self.hosts.client[4], port=25)
                with self.hosts.on("server"):
                    c = self.stack.enter_context(Smtp(25, host=self.hosts.client[4]))
                c.hello()
                self.assertEqual(inside.peers, [self.hosts.server[4]])
                self.assertEqual(self.caught(), 0)
                self.stack.close()

    def test_own_connections_that_are_not_exempt(self):
        """--user names somebody else: postern sees its own connections come back, once each."""
        for mode in self.MODES:
            with self.subTest(mode):
                self.lay("host")
                p = self.gate(mode, ("--user", "daemon"))
                sink = self.serve()
                self.assertEqual(self.to().reply().code, 421)
                self.assertEqual((sink.connections, len(p.log_lines("a loop"))), (0, 1))
                self.stack.close()

    def test_nobody_listens(self):
        """Mail is refused, not let past the filter."""
        for place in PLACES:
            for mode in self.MODES:
                with self.subTest(place=place, mode=mode):
                    self.lay(place)
                    sink = self.serve()
                    said = self.intercept("up", "--mode", mode, *self.where())
                    self.assertIn("nobody listens on port 2526", said)
                    with self.assertRaises(ConnectionRefusedError):
                        self.to()
                    self.assertEqual(sink.connections, 0)
                    self.intercept("down")
                    self.stack.close()

    def test_strict_filters_and_what_wireguard_sets(self):
        """rp_filter stays as strict as it is; src_valid_mark, which would make all sources look forged, does not."""
        for place in ("router", "bridge"):
            with self.subTest(place):
                self.lay(place)
                for name in ("all", self.hosts.inside):
                    self.hosts.setting("router", f"ipv4/conf/{name}/rp_filter", 1)
                self.hosts.setting("router", "ipv4/conf/all/src_valid_mark", 1)
                before = self.hosts.state("router")
                self.gate("tproxy", source="client")
                self.serve()
                self.deliver(4)
                self.intercept("down")
                self.assertEqual(self.hosts.state("router"), before)
                self.stack.close()

    def test_behind_masquerade(self):
        """The router hides its clients from the world: also those in whose name postern goes on."""
        self.lay()
        self.hosts.run("router", "nft", "-f", "-", text="""
            table inet hide {
                chain post { type nat hook postrouting priority srcnat; oifname "outer" masquerade
                }
            }""")
        self.gate("tproxy", source="client")
        for family in FAMILIES:
            sink = self.serve(family)
            self.deliver(family)
            self.assertEqual(sink.peers, [self.hosts.outer[family]])


class UnderWay(Gateway):
    """Sessions that there are already when the rules come, or when others take their place."""

    def lay_with_states(self):
        """A router with a firewall that knows states, so that connection tracking is on whatever we do."""
        self.lay()
        self.hosts.run("router", "nft", "-f", "-", text="""
            table inet firewall {
                chain forward { type filter hook forward priority filter; ct state invalid drop
                }
            }""")
        self.sink_there = self.serve()

    def direct_session(self):
        c = self.to()
        c.hello()
        return c

    def test_redirect_disturbs_nobody(self):
        self.lay_with_states()
        before = self.direct_session()
        p = self.gate()
        self.assertEqual(before.message().code, 250)
        self.assertEqual(p.events("transaction"), [])
        meanwhile = self.to()
        meanwhile.hello()
        self.intercept("up", *self.where(), "--ports", "25")
        self.assertEqual(meanwhile.message().code, 250)
        self.assertEqual(len(p.transactions()), 1)

    def test_tproxy_ends_what_it_did_not_begin(self):
        self.lay()
        self.serve()
        before = self.direct_session()
        p = self.gate("tproxy", source="client")
        with self.assertRaises((Closed, ConnectionError)):
            before.message()
        meanwhile = self.to()
        meanwhile.hello()
        self.intercept("up", "--mode", "tproxy", *self.where(), "--ports", "25")  # in place of the other: it goes on
        self.assertEqual(meanwhile.message().code, 250)
        self.assertEqual(len(p.transactions()), 1)


class Sources(Gateway):
    """Connections in the client's name (TN-05)."""

    def test_many_at_once_from_one_client(self):
        """Each connection to the server has a port of its own, whatever ports the client has."""
        self.lay()
        self.gate("tproxy", source="client", more={"limits": {"sessions_per_client": 200}})
        sink = self.serve()
        clients = []
        for _ in range(100):
            clients.append(self.to())
            clients[-1].hello()
        for c in clients:
            self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.peers, [self.hosts.client[4]] * 100)
        self.assertEqual(len(sink.messages()), 100)

    def ports_towards_the_server(self):
        shown = self.hosts.run("router", "ss", "-Htn", "state", "established", "dport", "=", ":25")
        return [int(line.split()[2].rpartition(":")[2]) for line in shown.splitlines()]

    def test_a_client_with_a_port_that_postern_has_taken_for_it(self):
        """Both ways have the same addresses and ports then, and are not mixed up; nor is the second taken for a loop,
        though the first is still on its way."""
        for family in FAMILIES:
            with self.subTest(family):
                self.lay()
                self.gate("tproxy", source="client")
                sink = self.serve(family, rules=[Rule("CONNECT", delay=1.0)])
                first = self.to(family)
                taken, = net.wait_until(self.ports_towards_the_server, 10, "postern's connection")
                second = self.to(family, source=(self.hosts.client[family], taken))
                first.hello()
                second.hello("second.example")
                for c in (first, second):
                    self.assertEqual(c.message().code, 250)
                self.assertEqual([m.envelope["helo"] for m in sink.messages()], ["client.example.org", "second.example"])
                self.stack.close()

    def test_no_port_is_left(self):
        """A range of four ports, five clients: the fifth is told to come again, with the reason in the log."""
        self.lay()
        self.hosts.setting("router", "ipv4/ip_local_port_range", "40000 40003")
        p = self.gate("tproxy", source="client")
        self.serve()
        clients = [self.to() for _ in range(4)]
        for c in clients:
            c.hello()
        c = self.to()
        self.assertEqual(c.reply().code // 100, 4)
        self.assertIn("Cannot assign requested address", p.wait_log(r"client=192\.0\.2\.2:\d+ .*destination=198\.51\.100\.2:25"))
        for c in clients:
            self.assertEqual(c.message().code, 250)

    def test_answers_that_do_not_come_back(self):
        """The rules of redirect do not bring them: a clear reply, and a line in the log that says where from."""
        self.lay()
        p = self.gate(source="client", more={"timeouts": {"upstream_connect": "2s"}})
        self.serve()
        self.assertEqual(self.to().reply().code // 100, 4)
        self.assertIn("connecting from 192.0.2.2 to 198.51.100.2:25: no answer in time (do answers", p.wait_log(r"client=192\.0\.2\.2:\d+ .*destination=198\.51\.100\.2:25"))

    def test_without_the_capability(self):
        self.lay()
        settings = config(1, port=GATE)
        settings["listeners"]["main"] = {"bind": [f"127.0.0.1:{GATE}"], "intercept": "tproxy", "policy": "main"}
        settings.pop("upstreams")
        path = self.folder / "postern.yaml"
        path.write_text(yaml(settings).lstrip("\n"))
        with self.hosts.on("router"):
            done = subprocess.run(["setpriv", "--bounding-set=-net_raw,-net_admin", str(BUILD / "postern"), "-c", str(path)],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cannot take connections to other hosts' addresses", done.stderr)
        self.assertIn("it needs root, or CAP_NET_RAW", done.stderr)


class Server(Gateway):
    """A server, a process of its own, that goes away in each state: the client hears 4yz, and nothing else."""

    HELLO = ("EHLO me.example", "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA")
    SLOW = {"content": ("--read-pause", "1"), "end": ("--delay", "60")}  # in the others it stands still altogether

    def start(self, state):
        folder = self.fresh("server")
        with self.hosts.on("server"):
            process = subprocess.Popen([sys.executable, str(ROOT / "tests/support/sink.py"), "--folder", str(folder),
                                        "--host", self.hosts.server[4], "--port", "25", *self.SLOW.get(state, ())],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        self.stack.callback(process.stdout.close)
        self.assertIn(b"sink:", process.stdout.readline())
        return process, folder

    def got(self):
        """(octets that wait to be read by the server, octets that ever came), of its one connection."""
        shown = self.hosts.run("server", "ss", "-Htni", "state", "established")
        came = re.search(r"bytes_received:(\d+)", shown)
        return int(shown.split()[0]) if shown else 0, int(came[1]) if came else 0

    def go_on_to(self, state, process):
        """A client, where the server has what it will not answer any more."""
        if state == "greeting":
            freeze(process)
        c = self.to(timeout=40)
        if state == "greeting":
            net.wait_until(lambda: self.hosts.run("server", "ss", "-Htn", "state", "established"), 10, "the connection")
            return c
        c.expect(220)
        last = {"EHLO": 0, "RCPT": 2}.get(state, 4)
        for command in self.HELLO[:last]:
            self.assertLess(c.say(command).code, 400)
        if last < 4:
            freeze(process)
            c.send(self.HELLO[last] + "\r\n")
            net.wait_until(lambda: self.got()[0], 10, f"{state} at the server")
            return c
        size = 2000000 if state == "content" else 10000
        c.send(b"Subject: t\r\n\r\n" + b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n" * (size // 39))
        if state == "content":
            net.wait_until(lambda: self.got()[1] > 100000, 10, "content at the server")
        else:
            c.send(b".\r\n")
            net.wait_until(lambda: self.got()[1] > size, 10, "all of it at the server")
        return c

    def goes(self, mode, way, **listener):
        for state in ("greeting", "EHLO", "RCPT", "content", "end"):
            with self.subTest(state):
                self.lay()
                p = self.gate(mode, more={"timeouts": {"silent_peer": "2s"}, "limits": {"hold": 65536}}, **listener)
                process, folder = self.start(state)
                c = self.go_on_to(state, process)
                way(process)
                start = time.monotonic()
                if state == "content":  # the end is there when postern knows already
                    net.wait_until(self.lost_by_router, 20, "the connection to the server to be given up")
                    c.send(b".\r\n")
                self.assertEqual(c.reply().code // 100, 4)
                self.assertLess(time.monotonic() - start, 20)
                if state in ("content", "end"):
                    self.assertEqual(p.transactions()[0]["verdict"], "unknown" if state == "end" else "deferred")
                self.assertEqual(read_messages(folder), [])
                self.stack.close()

    def lost_by_router(self):
        return not self.hosts.run("router", "ss", "-Htn", "state", "established", "dport", "=", ":25")

    def killed(self, process):
        process.kill()

    def vanished(self, _process):
        self.hosts.cut("server")

    def test_is_killed(self):
        self.goes("redirect", self.killed)

    def test_vanishes(self):
        self.goes("redirect", self.vanished)

    def test_is_killed_while_it_sees_the_client(self):
        self.goes("tproxy", self.killed, source="client")

    def test_vanishes_while_it_sees_the_client(self):
        self.goes("tproxy", self.vanished, source="client")

    def test_comes_back(self):
        self.lay()
        self.gate("tproxy", source="client")
        self.assertEqual(self.to().reply().code, 421)
        self.serve()
        self.deliver(4)


class Client(Gateway):
    """A client that vanishes without a word is found, its session ended, and its message does not come (TN-11)."""

    def vanishes(self, mode, **listener):
        for idle in (False, True):
            with self.subTest(idle=idle):
                self.lay()
                p = self.gate(mode, more={"timeouts": {"silent_peer": "2s"}}, **listener)
                sink = self.serve()
                c = self.to()
                c.hello()
                c.envelope()
                if not idle:
                    c.say("DATA", 354)
                    c.send("Subject: t\r\n\r\nhalf of it\r\n")
                self.hosts.cut("client")
                net.wait_until(lambda: p.events("transaction"), 20, "the end of the session")
                net.wait_until(lambda: not sink.conversations[0].open, 10, "the end at the server")
                self.assertEqual(sink.messages(), [])
                net.wait_until(lambda: not self.established(), 10, "both connections to be gone")
                self.stack.close()

    def established(self):
        return self.hosts.run("router", "ss", "-Htn", "state", "established")

    def test_by_redirect(self):
        self.vanishes("redirect")

    def test_by_tproxy(self):
        self.vanishes("tproxy", source="client")


class Daemon(Gateway):
    """What the daemon makes of those that it is brought."""

    def test_filters_are_in_force(self):
        for mode in ("redirect", "tproxy"):
            with self.subTest(mode):
                self.lay()
                rules = {"r.rules": "[text]\n/GTUBE-STANDARD/ REJECT 5.7.1 GTUBE\n"}
                p = self.gate(mode, files=rules, more=with_filters(
                    "content", content={"plugin": "content", "rules": ["r.rules"]}))
                sink = self.serve()
                c = self.to()
                c.hello()
                self.assertEqual(c.message(content=f"Subject: x\r\n\r\n{GTUBE}\r\n").code, 550)
                self.assertEqual(c.message().code, 250)
                self.assertEqual(len(sink.messages()), 1)
                self.assertEqual([t["client"] for t in p.transactions(2)], [self.hosts.client[4]] * 2)
                self.stack.close()

    def test_allow_and_deny(self):
        """Destinations that the policy excludes are refused, whatever the rules bring (TN-06)."""
        for mode in ("redirect", "tproxy"):
            for lists, served in (({}, (4, 6)), ({"deny": ["198.51.100.0/24"]}, (6,)),
                                  ({"allow": ["198.51.100.2/32"]}, (4,)),
                                  ({"allow": ["0.0.0.0/0", "::/0"], "deny": ["2001:db8:2::/48"]}, (4,))):
                with self.subTest(mode=mode, lists=lists):
                    self.lay()
                    self.gate(mode, **lists)
                    sinks = {family: self.serve(family) for family in FAMILIES}
                    for family in FAMILIES:
                        reply = self.to(family).reply()
                        self.assertEqual(reply.code, 220 if family in served else 554)
                        self.assertEqual(sinks[family].connections, 1 if family in served else 0)
                    self.stack.close()

    def test_direct_connections(self):
        """Clients that come to postern's own port bring no destination: refused, and no connection is made (TN-02)."""
        for mode in ("redirect", "tproxy"):
            for family in FAMILIES:
                with self.subTest(mode=mode, family=family):
                    self.lay()
                    self.gate(mode)
                    with self.hosts.on("client"):
                        c = self.stack.enter_context(Smtp(GATE, host=self.hosts.router[family]))
                    self.assertRegex(str(c.reply()), "^421 4.4.6 ")
                    self.assertTrue(c.at_eof())
                    self.stack.close()

    def waiting_client(self, p, family):
        """One that the kernel has accepted, and postern not yet: its worker stands still meanwhile."""
        worker, = p.workers()
        with stopped(worker):
            with self.hosts.on(self.sender):
                raw = self.stack.enter_context(socket.create_connection((self.hosts.server[family], 25), 10))
            with self.hosts.on("router"):
                forget_connections()
        return raw

    def test_forgotten_by_connection_tracking(self):
        """Between accept and the question where it wanted to go: such a client is refused, and nothing else happens
        (TN-04)."""
        for family in FAMILIES:
            with self.subTest(family):
                self.lay()
                p = self.gate()
                sink = self.serve(family)
                self.waiting_client(p, family)
                p.wait_log("was not redirected")
                self.assertEqual(sink.connections, 0)
                self.deliver(family)
                self.stack.close()

    def test_forgotten_with_an_upstream_for_others(self):
        self.lay()
        with self.hosts.on("server"):
            other = self.sink(host=self.hosts.server[4], port=10025)
        p = self.gate(upstream="mta", more={"upstreams": {"mta": {"servers": [f"{self.hosts.server[4]}:10025"],
                                                                  "connect": "eager"}}})
        self.serve()
        before = self.connections_after_probe(other)
        self.waiting_client(p, 4)
        net.wait_until(lambda: other.connections > before, 10, "the upstream for others to be asked")

    def test_forgotten_is_nothing_to_tproxy(self):
        self.lay()
        p = self.gate("tproxy", source="client")
        self.serve()
        raw = self.waiting_client(p, 4)
        raw.settimeout(10)
        self.assertIn(b"220 sink.example.org", raw.recv(200))


if __name__ == "__main__":
    unittest.main()
