# SPDX-License-Identifier: MIT
"""`postern --probe` in front of the sink, and of servers that are slow, hostile, or no mail servers."""
import json
import os
import re
import threading
import time
import unittest
import unittest.mock

from tests.support import net
from tests.support.case import Case, certificates
from tests.support.daemon import SANITIZERS, config, run, yaml
from tests.support.peer import Peer, converse, read_line, wait_for_end

EHLO = b"250-peer.test\r\n250-SIZE 1000\r\n250 PIPELINING\r\n"
SIMPLE = {"EHLO": EHLO, "HELO": b"250 peer.test\r\n", "NOOP": b"250 Ok\r\n", "QUIT": b"221 Bye\r\n"}
V2 = b"\r\n\r\n\0\r\nQUIT\n"
# About a third beyond what the probe grants itself, for a busy machine.
WHOLE_SECONDS = 40


class Probe(Case):
    def peer(self, speak, **options):
        return self.stack.enter_context(Peer(speak, **options))

    def probe(self, *words, code=0):
        """The report; and nothing of it may steer a terminal."""
        begun = time.monotonic()
        done = run("--probe", *(str(w) for w in words))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertLess(time.monotonic() - begun, WHOLE_SECONDS)
        self.assertRegex(done.stdout, r"\A[\x20-\x7e\n]*\Z")
        for word in SANITIZERS:
            self.assertNotIn(word, done.stderr)
        return done.stdout

    def facts(self, port, *words, code=0, host="127.0.0.1"):
        return json.loads(self.probe(f"{host}:{port}", "--json", *words, code=code))


class Offers(Probe):
    def test_what_the_server_offers(self):
        sink = self.tls_sink(users={"alice": "sesame"}, hostname="mx.example.org")
        report = self.probe(f"127.0.0.1:{sink.port}")
        pin = certificates().pin(certificates().good)
        for line in (r"address +127\.0\.0\.1:\d+, from 127\.0\.0\.1", "greeting +220 mx.example.org .*", "SIZE +104857600",
                     "STARTTLS +works", "version +TLSv1.3", "names +mail.example.org localhost .*",
                     "issuer +CN=postern test ca", "verified +not by the system's authorities: .+", f"pin +{pin}",
                     "in clear +PLAIN LOGIN", "in TLS +PLAIN LOGIN", "XCLIENT +not offered", "XFORWARD +not offered",
                     "PROXY version 2 +not expected", "PROXY version 1 +not expected"):
            self.assertRegex(report, f"(?m)^  {line}$")
        less = report.partition("less than in clear\n")[2].partition("\n\n")[0]
        self.assertEqual(less, "  STARTTLS")
        self.assertEqual(sink.connections, 1)

    def test_the_same_for_programs(self):
        sink = self.tls_sink(users={"alice": "sesame"})
        facts = self.facts(sink.port)
        self.assertEqual(set(facts), {"host", "port", "smtp", "error", "server", "own_address", "greeting", "software", "verb",
                                      "clear", "secure", "tls", "identity", "recommended_identity", "upstream", "advice"})
        self.assertEqual((facts["smtp"], facts["verb"], facts["tls"]["state"]), (True, "EHLO", "works"))
        self.assertEqual(facts["tls"]["certificate"]["pin"], certificates().pin(certificates().good))
        self.assertIn({"keyword": "SIZE", "parameters": "104857600"}, facts["clear"]["extensions"])
        self.assertEqual({w: facts["identity"][w]["outcome"] for w in facts["identity"]},
                         {"xclient": "not-offered", "xforward": "not-offered", "proxy-v2": "not-expected",
                          "proxy-v1": "not-expected"})
        self.assertEqual(facts["recommended_identity"], "auto")

    def test_tls_modes(self):
        sink = self.tls_sink()
        facts = self.facts(sink.port, "--tls", "none")
        self.assertEqual(facts["tls"]["state"], "not-tried")
        self.assertNotIn("secure", facts)
        facts = self.facts(sink.tls_port, "--tls", "implicit")
        self.assertEqual((facts["tls"]["state"], facts["tls"]["implicit"]), ("works", True))
        self.assertNotIn("clear", facts)
        self.assertIn("tls: implicit", facts["upstream"])
        facts = self.facts(self.sink().port, "--tls", "starttls")
        self.assertEqual(facts["tls"]["state"], "not-offered")
        self.assertIn("tls: none", facts["upstream"])

    def test_the_block_for_the_configuration_can_be_used(self):
        sink = self.tls_sink()
        for upstream in (self.facts(sink.port)["upstream"], self.facts(sink.tls_port, "--tls", "implicit")["upstream"]):
            settings = config(net.free_port())
            del settings["upstreams"]
            path = self.fresh("conf")
            path.write_text(yaml(settings).lstrip("\n") + "\n" + upstream)
            done = run("-t", "-c", str(path))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            shown = run("-T", "-c", str(path)).stdout
            self.assertIn(certificates().pin(certificates().good), shown)

    def test_a_certificate_that_the_system_trusts(self):
        certs = certificates()
        cases = ((certs.good, True, True, "verify: { name: localhost }"),
                 (certs.wrong_name, True, False, "verify: { name: elsewhere.example.net }"),
                 (certs.expired, False, False, f'verify: {{ pin: "{certs.pin(certs.expired)}" }}'))
        with unittest.mock.patch.dict(os.environ, SSL_CERT_FILE=certs.ca.certificate):
            for pair, verified, named, verify in cases:
                with self.subTest(verify):
                    facts = self.facts(self.tls_sink(pair).port, host="localhost")
                    shown = facts["tls"]["certificate"]
                    self.assertEqual((shown["verified"], shown["names_host"]), (verified, named), shown)
                    self.assertIn(verify, facts["upstream"])

    def test_names_and_addresses(self):
        sink = self.sink()
        self.assertEqual(self.facts(sink.port, host="localhost")["server"], f"127.0.0.1:{sink.port}")
        peer = self.peer(lambda s, _: converse(s, SIMPLE), host="::1")
        facts = self.facts(peer.port, host="[::1]")
        self.assertEqual((facts["host"], facts["server"], facts["own_address"]), ("::1", f"[::1]:{peer.port}", "::1"))
        self.assertIn(f'servers: ["[::1]:{peer.port}"]', facts["upstream"])
        lines = {a["server"] + a["way"]: a["lines"] for a in facts["advice"]}
        self.assertEqual(lines["Postfixxclient"], "smtpd_authorized_xclient_hosts = [::1]\n")
        self.assertEqual(lines["Eximproxy"], "hosts_proxy = <; ::1\n")

    def test_xclient_and_xforward(self):
        said = []
        offers = {**SIMPLE, "EHLO": b"250-peer.test\r\n250-XFORWARD NAME ADDR\r\n250 XCLIENT ADDR PORT\r\n"}

        def speak(s, _):
            converse(s, {**offers, "XCLIENT": lambda c: (said.append("XCLIENT"), c.sendall(b"220 anew\r\n")),
                         "XFORWARD": b"550 5.7.0 not \x1b you\r\n"})

        facts = self.facts(self.peer(speak).port)
        self.assertEqual((facts["identity"]["xclient"]["outcome"], said), ("works", ["XCLIENT"]))
        self.assertEqual(facts["identity"]["xclient"]["attributes"], "ADDR PORT")
        self.assertEqual((facts["identity"]["xforward"]["outcome"], facts["identity"]["xforward"]["detail"]),
                         ("refused", "550 5.7.0 not ? you"))
        self.assertEqual(facts["recommended_identity"], "xclient")

    def test_xclient_after_which_ehlo_is_refused_does_not_work(self):
        def speak(s, _):
            answers = iter((b"250-peer.test\r\n250 XCLIENT ADDR\r\n", b"550 5.7.1 Not from there\r\n"))
            converse(s, {**SIMPLE, "EHLO": lambda c: c.sendall(next(answers)), "XCLIENT": b"220 anew\r\n"})

        way = self.facts(self.peer(speak).port)["identity"]["xclient"]
        self.assertEqual((way["outcome"], way["detail"]), ("refused", "550 5.7.1 Not from there"))

    def test_lmtp_and_old_servers(self):
        lmtp = self.sink(lmtp=True)
        self.strict_sink = False
        facts = self.facts(lmtp.port)
        self.assertEqual(facts["verb"], "LHLO")
        self.assertIn("protocol: lmtp", facts["upstream"])
        old = {v: r for v, r in SIMPLE.items() if v != "EHLO"}
        facts = self.facts(self.peer(lambda s, _: converse(s, old)).port)
        self.assertEqual((facts["verb"], facts["clear"]["extensions"]), ("HELO", []))

    def test_software_by_its_help(self):
        replies = {**SIMPLE, "HELP": b"214-Commands supported:\r\n214 AUTH HELO EHLO\r\n"}
        facts = self.facts(self.peer(lambda s, _: converse(s, replies)).port)
        self.assertEqual((facts["software"], facts["advice"][0]["server"]), ("Exim", "Exim"))


class ProxyHeaders(Probe):
    @staticmethod
    def expecting(version, greeting=b"220 behind.test\r\n"):
        def speak(s, _):
            start = s.recv(6)
            if version == 2 and start == V2[:6]:
                rest = b""
                while len(rest) < 10:
                    rest += s.recv(10 - len(rest))
                length = int.from_bytes(rest[8:10], "big")
                while length:
                    length -= len(s.recv(length))
            elif version == 1 and start == b"PROXY ":
                read_line(s)
            else:
                return
            converse(s, SIMPLE, greeting)
        return speak

    def test_version_2(self):
        facts = self.facts(self.peer(self.expecting(2)).port)
        self.assertEqual((facts["identity"]["proxy-v2"]["outcome"], facts["identity"]["proxy-v1"]["outcome"]),
                         ("works", "not-tried"))
        self.assertEqual((facts["greeting"], facts["recommended_identity"]), ("220 behind.test", "proxy-v2"))
        self.assertIn({"keyword": "SIZE", "parameters": "1000"}, facts["clear"]["extensions"])
        self.assertEqual([a for a in facts["advice"] if a["way"] == "proxy"], [])

    def test_version_1_alone(self):
        facts = self.facts(self.peer(self.expecting(1)).port)
        self.assertEqual((facts["identity"]["proxy-v2"]["outcome"], facts["identity"]["proxy-v1"]["outcome"]),
                         ("failed", "works"))
        self.assertEqual(facts["recommended_identity"], "proxy-v1")
        self.assertIn("PROXY header", self.probe(f"127.0.0.1:{self.peer(self.expecting(1)).port}"))

    def test_a_slow_greeting_is_no_proxy(self):
        """It greets when others have come and gone: what they said was no header to it."""
        gone = threading.Event()

        def speak(s, number):
            if number == 0:
                gone.wait(60)
                return converse(s, SIMPLE)
            converse(s, SIMPLE)  # takes the header for commands
            return None

        def watched(s, number):
            try:
                speak(s, number)
            finally:
                if number == 2:
                    gone.set()

        facts = self.facts(self.peer(watched).port)
        self.assertEqual({facts["identity"][w]["outcome"] for w in ("proxy-v1", "proxy-v2")}, {"not-expected"})
        self.assertEqual(facts["recommended_identity"], "auto")


class NoMailServer(Probe):
    def failed(self, speak, *words, code=1):
        return self.facts(self.peer(speak).port, *words, code=code)

    def test_nobody_there(self):
        self.assertIn("refused", self.facts(net.free_port(), code=1)["error"])
        self.assertIn("no.such.invalid", self.facts(25, host="no.such.invalid", code=1)["error"])

    def test_usage(self):
        for words in (("--probe",), ("--probe", ""), ("--probe", "host:port"), ("--probe", "h:0"), ("--probe", "h:65536"),
                      ("--probe", "[::1"), ("--probe", "a b"), ("--probe", "h\x1b[0m"), ("--probe", "h", "--tls", "maybe"),
                      ("--json",), ("--tls", "none"), ("--probe", "x" * 300), ("--probe", ":25")):
            with self.subTest(words=words):
                done = run(*words)
                self.assertEqual(done.returncode, 2, done)
                self.assertRegex(done.stderr, "(?i)usage")

    def test_a_server_that_never_says_a_word(self):
        facts = self.failed(lambda s, _: wait_for_end(s))
        self.assertFalse(facts["smtp"])
        self.assertIn("says nothing", facts["error"])

    def test_one_that_waits_for_tls(self):
        report = self.probe(f"127.0.0.1:{self.tls_sink().tls_port}", code=1)
        self.assertIn("--tls implicit", report)

    def test_one_that_closes(self):
        self.assertIn("closed", self.failed(lambda s, _: None)["error"])

    def test_one_that_refuses_everybody(self):
        facts = self.failed(lambda s, _: converse(s, SIMPLE, b"554 5.7.1 Go away\r\n"), code=0)
        self.assertEqual(facts["greeting"], "554 5.7.1 Go away")
        self.assertIn("refuses", facts["error"])
        self.assertNotIn("upstream", facts)

    def test_http(self):
        def speak(s, _):
            s.recv(4096)
            s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        self.assertIn("HTTP/1.1 400 Bad Request", self.failed(speak)["error"])
        self.assertIn("SSH-2.0-x", self.failed(lambda s, _: s.sendall(b"SSH-2.0-x\r\n"))["error"])

    def test_an_endless_reply(self):
        def lines(s, _):
            while True:
                s.sendall(b"220-more\r\n" * 1000)

        def one_line(s, _):
            s.sendall(b"220-")
            while True:
                s.sendall(b"x" * 10000)

        def endless_ehlo(s, _):
            converse(s, {"EHLO": lambda c: [c.sendall(b"250-X\r\n" * 1000) for _ in iter(int, 1)]})

        for speak, word in ((lines, "too many lines"), (one_line, "too long")):
            with self.subTest(word):
                self.assertIn(word, self.failed(speak)["error"])
        self.assertIn("too many lines", self.failed(endless_ehlo)["error"])

    def test_control_characters_go_nowhere(self):
        bad = bytes(c for c in range(256) if c not in b"\r\n")
        replies = {**SIMPLE, "EHLO": b"250-\x1b[2J\r\n250-X" + bad + b" \x1b]0;owned\x07\r\n250 XCLIENT ADDR \x9b31m\r\n",
                   "XCLIENT": b"550 " + bad + b"\r\n", "HELP": b"214 " + bad + b"\r\n"}
        peer = self.peer(lambda s, _: converse(s, replies, b"220 \x1b[31m" + bad + b"\r\n"))
        self.assertIn("220 ?[31m", self.probe(f"127.0.0.1:{peer.port}"))
        self.facts(peer.port)

    def test_more_extensions_than_anybody_has(self):
        ehlo = b"250-x\r\n" + b"".join(b"250-X%d %s\r\n" % (i, b"y" * 400) for i in range(100)) + b"250 LAST\r\n"
        peer = self.peer(lambda s, _: converse(s, {**SIMPLE, "EHLO": ehlo}))
        self.assertIn("(and 37 more)", self.probe(f"127.0.0.1:{peer.port}"))


class BrokenTls(Probe):
    OFFERS = {**SIMPLE, "EHLO": b"250-peer.test\r\n250 STARTTLS\r\n"}

    def tls(self, reply):
        peer = self.peer(lambda s, _: converse(s, {**self.OFFERS, "STARTTLS": reply}))
        facts = self.facts(peer.port)
        self.assertEqual(facts["tls"]["state"], "failed", facts)
        self.assertIn("tls: none", facts["upstream"])
        return facts["tls"]["error"]

    def test_refused(self):
        self.assertEqual(self.tls(b"454 4.7.0 TLS not available\r\n"), "454 4.7.0 TLS not available")

    def test_no_tls_behind_it(self):
        def garbage(s):
            s.sendall(b"220 Go\r\n")
            s.recv(4096)
            s.sendall(b"250 What?\r\n")

        self.assertTrue(self.tls(garbage))

    def test_words_in_clear_behind_it(self):
        self.assertIn("spoke in clear", self.tls(b"220 Go\r\n250 injected\r\n"))

    def test_a_handshake_that_never_ends(self):
        self.assertIn("time", self.tls(lambda s: (s.sendall(b"220 Go\r\n"), wait_for_end(s))))

    def test_a_clear_server_where_tls_was_expected(self):
        peer = self.peer(lambda s, _: converse(s, SIMPLE))
        facts = self.facts(peer.port, "--tls", "implicit", code=1)
        self.assertTrue(re.search("TLS|SSL|version", facts["error"]), facts["error"])


if __name__ == "__main__":
    unittest.main()
