# SPDX-License-Identifier: MIT
"""`postern --probe` and real servers: what it prints is pasted into their configuration, and a second probe says "works"."""
import json
import re
import subprocess
import unittest

from tests.support import net
from tests.support.case import Case, certificates
from tests.support.client import Smtp
from tests.support.daemon import run
from tests.support.mta import Postfix
from tests.support.servers import dovecot_server, exim_server, opensmtpd_server

POSTSCREEN = """127.0.0.1:{port} inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""
TRUST = re.compile(r"^(login|haproxy)_trusted_networks.*\n", re.M)


def port_with_a_second():
    """A port for which the one that the advice proposes, 10000 more, is free too, and no client's."""
    def found():
        port = net.free_port()
        return port if port < 22000 and not net.accepts("127.0.0.1", port + 10000) else None
    return net.wait_until(found, 10, "two free ports", 0)


class Probe(Case):
    def facts(self, port, *words):
        done = run("--probe", f"127.0.0.1:{port}", "--json", *words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def outcomes(self, facts):
        return {way: facts["identity"][way]["outcome"] for way in facts["identity"]}

    def lines(self, facts, software, way):
        """What the probe says to paste."""
        self.assertEqual((facts["software"], facts["advice"][0]["server"]), (software, software), facts["greeting"])
        advice, = [a for a in facts["advice"] if (a["server"], a["way"]) == (software, way)]
        return advice["lines"]

    def works(self, port, way):
        """Once the server has read its new configuration; then the recommendation is this way."""
        def probe():
            last = self.facts(port)
            return last if last["identity"][way]["outcome"] == "works" else None
        facts = net.wait_until(probe, 40, f"{way} to work", 0.2)
        self.assertEqual(facts["recommended_identity"], way)
        self.assertIn(f"identity: {way}", facts["upstream"])
        return facts

    def behind_postern(self, facts, address):
        """A message of that client, through a postern with the block that the probe has printed."""
        said = dict(re.findall(r"^    (\w+): (.+)$", facts["upstream"], re.M))
        pin = re.fullmatch(r'\{ pin: "([0-9a-f]{64})" \}', said["verify"])[1]
        upstream = {"servers": json.loads(said["servers"]), "tls": said["tls"], "identity": said["identity"],
                    "verify": {"pin": [pin]}}
        p = self.postern(upstream["servers"][0].rpartition(":")[2], upstreams={"mta": upstream})
        client = self.stack.enter_context(Smtp(p.port, source=(address, 0)))
        client.hello("c.example.net")
        self.assertEqual(client.message().code, 250)


class WithPostfix(Probe):
    def setUp(self):
        super().setUp()
        self.mta = Postfix(self.fresh("postfix"), certificates().good, {}, "smtpd_peername_lookup = no\n")
        before = self.mta.plain
        self.mta.plain = port_with_a_second()
        self.rewrite("master.cf", lambda text: text.replace(f":{before} ", f":{self.mta.plain} "))
        self.stack.enter_context(self.mta)

    def rewrite(self, name, change):
        path = self.mta.folder / "etc" / name
        path.write_text(change(path.read_text()))

    def paste(self, name, lines):
        self.rewrite(name, lambda text: text + lines)
        done = self.mta._postfix("reload")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_plain(self):
        facts = self.facts(self.mta.plain)
        self.assertEqual(self.outcomes(facts), {"xclient": "not-offered", "xforward": "not-offered",
                                                "proxy-v2": "not-expected", "proxy-v1": "not-expected"})
        self.assertEqual((facts["tls"]["state"], facts["tls"]["certificate"]["pin"]),
                         ("works", certificates().pin(certificates().good)))
        self.assertNotIn("warning", self.mta.log())

    def test_xclient_and_xforward(self):
        facts = self.facts(self.mta.plain)
        self.paste("main.cf", self.lines(facts, "Postfix", "xforward"))
        self.works(self.mta.plain, "xforward")
        self.paste("main.cf", self.lines(facts, "Postfix", "xclient"))
        facts = self.works(self.mta.plain, "xclient")
        self.assertEqual(facts["identity"]["xforward"]["outcome"], "works")
        self.behind_postern(facts, "127.0.0.9")
        self.assertIn("client=unknown[127.0.0.9]", self.mta.log())
        self.assertEqual([a["way"] for a in facts["advice"] if a["server"] == "Postfix"], ["proxy"])

    def test_proxy(self):
        self.paste("master.cf", self.lines(self.facts(self.mta.plain), "Postfix", "proxy"))
        net.wait_port(self.mta.plain + 10000)
        facts = self.works(self.mta.plain + 10000, "proxy-v2")
        self.assertEqual(facts["tls"]["state"], "works")
        self.assertIn("[192.0.2.1]", self.mta.log())
        self.behind_postern(facts, "127.0.0.8")
        self.assertIn("client=unknown[127.0.0.8]", self.mta.log())
        self.assertEqual(self.facts(self.mta.plain)["identity"]["proxy-v2"]["outcome"], "not-expected")

    def test_postscreen(self):
        """Its greeting takes six seconds; the note says how it takes a header."""
        port = net.free_port()
        note = next(a["note"] for a in self.facts(self.mta.plain)["advice"]
                    if (a["server"], a["way"]) == ("Postfix", "proxy"))
        self.paste("master.cf", POSTSCREEN.format(port=port))
        net.wait_port(port)
        self.assertEqual(self.facts(port)["identity"]["proxy-v2"]["outcome"], "not-expected")
        self.assertNotIn("PREGREET", self.mta.log())
        self.paste("main.cf", re.search(r"postscreen_upstream_proxy_protocol = haproxy", note)[0] + "\n")
        self.works(port, "proxy-v2")

    def test_software_without_its_name(self):
        self.paste("main.cf", "smtpd_banner = $myhostname ESMTP\n")

        def known():
            facts = self.facts(self.mta.plain)
            return facts if "Postfix" not in facts["greeting"] else None
        self.assertEqual(net.wait_until(known, 20, "the new greeting", 0.2)["software"], "Postfix")


class WithExim(Probe):
    def exim(self, *words, **more):
        return self.stack.enter_context(exim_server.EximServer(self.fresh("exim"), *words, **more))

    def test_light(self):
        facts = self.facts(self.exim().port)
        self.assertEqual(self.outcomes(facts), {"xclient": "not-offered", "xforward": "not-offered",
                                                "proxy-v2": "not-expected", "proxy-v1": "not-expected"})
        lines = self.lines(facts, "Exim", "proxy")
        with self.assertRaisesRegex(RuntimeError, "hosts_proxy.* unknown"):  # as its advice says
            self.exim(more=lines)

    def test_proxy(self):
        facts = self.facts(self.exim(exim_server.HEAVY).port)
        heavy = self.exim(exim_server.HEAVY, more=self.lines(facts, "Exim", "proxy"))
        self.works(heavy.port, "proxy-v2")

    def test_proxy_at_one_port(self):
        first = self.exim(exim_server.HEAVY)
        note = next(a["note"] for a in self.facts(first.port)["advice"] if a["server"] == "Exim" and a["lines"])
        line = re.search(r"hosts_proxy = \$\{.*\{\}\}", note)[0]
        own = int(re.search(r"received_port\}\{(\d+)\}", line)[1])
        second = self.exim(exim_server.HEAVY, more=line, ports=(own,))
        self.works(own, "proxy-v2")
        self.assertEqual(self.facts(second.port)["identity"]["proxy-v2"]["outcome"], "not-expected")


class WithOpenSmtpd(Probe):
    def server(self, more=""):
        return self.stack.enter_context(opensmtpd_server.OpenSmtpd(self.fresh("opensmtpd"), more))

    def test_proxy(self):
        facts = self.facts(self.server().port)
        self.assertEqual(self.outcomes(facts), {"xclient": "not-offered", "xforward": "not-offered",
                                                "proxy-v2": "not-expected", "proxy-v1": "not-expected"})
        lines = self.lines(facts, "OpenSMTPD", "proxy")
        second = self.server(lines)
        self.works(int(re.search(r"port (\d+)", lines)[1]), "proxy-v2")
        self.assertIn("address=192.0.2.1", second.log())


class WithDovecot(Probe):
    """As the server of the tests, but that it trusts nobody yet, and speaks LMTP too."""

    def setUp(self):
        super().setUp()
        self.assertIsNone(dovecot_server.missing())
        self.server = self.stack.enter_context(dovecot_server.DovecotServer(self.fresh("dovecot")))
        self.lmtp = net.free_port()
        self.path = self.server.folder / "dovecot.conf"
        self.path.write_text(TRUST.sub("", self.path.read_text()))
        self.paste(f"protocols = submission lmtp\nservice lmtp {{\n  inet_listener lmtp {{\n    address = 127.0.0.1\n"
                   f"    port = {self.lmtp}\n  }}\n}}\n")
        net.wait_port(self.lmtp)

    def paste(self, lines):
        with self.path.open("a") as f:
            f.write(lines)
        done = subprocess.run(["doveadm", "-c", str(self.path), "reload"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_xclient(self):
        facts = net.wait_until(lambda: (f := self.facts(self.server.port))["identity"]["xclient"]["outcome"] != "works" and f,
                               20, "the configuration that trusts nobody", 0.2)
        self.paste(self.lines(facts, "Dovecot", "xclient"))
        self.works(self.server.port, "xclient")
        facts = self.works(self.lmtp, "xclient")
        self.assertEqual(facts["verb"], "LHLO")
        self.assertIn("protocol: lmtp", facts["upstream"])

    def proxy(self, port):
        lines = self.lines(self.facts(port), "Dovecot", "proxy")
        own = int(re.search(r"port = (\d+)", lines)[1])
        self.paste(lines)
        net.wait_port(own)
        facts = self.works(own, "proxy-v2")
        self.assertEqual(self.facts(port)["identity"]["proxy-v2"]["outcome"], "not-expected")
        return facts

    def test_proxy(self):
        self.assertEqual(self.proxy(self.server.port)["verb"], "EHLO")

    def test_proxy_with_lmtp(self):
        self.assertEqual(self.proxy(self.lmtp)["verb"], "LHLO")


if __name__ == "__main__":
    unittest.main()
