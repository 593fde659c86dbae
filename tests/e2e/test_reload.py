# SPDX-License-Identifier: MIT
"""Reload: all or nothing, while sessions go on. A bad policy never replaces a good one."""
import signal
import ssl
import threading
import unittest

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener, with_filters
from tests.support.client import Closed
from tests.support.daemon import merge

OLD = "[header:Subject]\n/forbidden/ REJECT 550 5.7.1 Old rule\n"
NEW = "[header:Subject]\n/forbidden/ REJECT 554 5.7.1 New rule\n/hello/ REJECT 550 5.7.1 No greetings\n"


def with_subject(subject):
    return f"Subject: {subject}\r\n\r\nx\r\n"


class Reload(Case):
    def setUp(self):
        super().setUp()
        self.mta = self.sink()
        self.gate = self.postern(self.mta, files={"rules/a.rules": OLD},
                                 **with_filters("content", content={"plugin": "content", "rules": ["rules/*.rules"]}))

    def check_still_old(self):
        c = self.ready_client(self.gate)
        self.assertEqual(c.message(content=with_subject("forbidden")).code, 550)
        self.assertEqual(c.message(content=with_subject("hello")).code, 250)

    def test_a_rule_edit_counts_from_the_next_transaction_of_an_open_session(self):
        c = self.ready_client(self.gate)
        self.assertEqual(c.message(content=with_subject("hello")).code, 250)
        self.gate.write("rules/a.rules", NEW)
        self.assertRegex(self.gate.reload(), r"reload: generation 2")
        self.assertIn("No greetings", str(c.message(content=with_subject("hello"))))
        self.assertEqual(c.message(content=with_subject("forbidden")).code, 554)
        self.assertEqual([t["gen"] for t in self.gate.transactions(3)], ["1", "2", "2"])

    def test_a_transaction_keeps_the_policy_that_it_began_with(self):
        c = self.ready_client(self.gate)
        c.envelope()
        c.say("DATA", 354)
        self.gate.write("rules/a.rules", NEW)
        self.gate.reload()
        self.assertEqual(c.content(with_subject("hello")).code, 250)
        self.assertEqual(c.message(content=with_subject("hello")).code, 550)

    def test_a_broken_rule_changes_nothing_and_names_its_place(self):
        for broken, place in (("[text]\n/good/ REJECT 5.7.1 x\n/un(closed/ REJECT 5.7.1 x\n", r"a\.rules:3:\d+"),
                              ("[nowhere]\n/x/ REJECT\n", r"a\.rules:1:"), ("[text]\n/x/ EXPLODE\n", r"a\.rules:2:"),
                              ("[text]\n/x/ REJECT 250 2.0.0 fine\n", r"a\.rules:2:")):
            with self.subTest(broken=broken):
                self.gate.write("rules/a.rules", broken)
                self.assertIn("reload: refused", self.gate.reload())
                self.gate.wait_log(place + ".*error")
                self.check_still_old()

    def test_a_broken_configuration_changes_nothing_and_names_its_place(self):
        good = self.gate.file.read_text()
        cases = ((good.replace("workers: 1", "workers: many"), r"postern\.yaml:1:"),
                 (good + "nonsense: true\n", r"postern\.yaml:\d+:1: error: .*nonsense"),
                 (good.replace("rules/*.rules", "none/*.rules"), r"postern\.yaml:\d+:"), ("", "error"),
                 (good + "\tx: 1\n", r"postern\.yaml:\d+:"),
                 (good.replace("plugin: content", "plugin: absent"), "absent"),
                 (good.replace("upstream: mta", "upstream: mtb"), "mtb"))
        for text, place in cases:
            with self.subTest(place=place):
                self.assertNotEqual(text, good)
                self.assertIn("reload: refused", self.gate.reload(text))
                self.gate.wait_log(place)
                self.check_still_old()
        self.assertIn("generation", self.gate.reload(good))

    def test_missing_files_and_taken_ports_change_nothing(self):
        pair = certificates()
        taken = self.mta.port
        base = self.gate.settings
        cases = (
            {"certificates": {"c": {"certificate": "none.pem", "key": "none.pem"}}},
            {"certificates": {"c": {"certificate": pair.good.certificate, "key": pair.second.key}},
             "listeners": {"tls": listener(tls="implicit", certificate="c")}},
            {"listeners": {"more": listener(taken)}},
        )
        for more in cases:
            with self.subTest(more=more):
                before = self.gate.settings
                self.assertIn("reload: refused", self.gate.reload(merge(base, more)))
                self.gate.settings = before
                self.check_still_old()

    def test_listeners_come_and_go(self):
        first = self.gate.port
        more = merge(self.gate.settings, {"listeners": {"extra": listener()}})
        c = self.ready_client(self.gate)
        self.assertIn("generation", self.gate.reload(more))
        self.assertEqual(self.ready_client(self.gate, listener="extra").message().code, 250)
        only = merge(more, {"listeners": {"main": None}})
        self.assertIn("generation", self.gate.reload(only))
        net.wait_until(lambda: not net.accepts("127.0.0.1", first), 10, "the old listener to close")
        self.ready_client(self.gate, listener="extra")
        c.say("NOOP")

    def test_upstream_changes(self):
        other = self.sink()
        c = self.ready_client(self.gate)
        self.assertEqual(c.message().code, 250)
        self.gate.reload(merge(self.gate.settings, {"upstreams": {"mta": {"servers": [f"127.0.0.1:{other.port}"]}}}))
        self.assertEqual(c.message().code, 250)
        self.assertEqual((len(self.mta.messages()), len(other.messages())), (1, 1))

    def test_certificate_changes(self):
        certs = certificates()
        settings = merge(self.gate.settings, {
            "certificates": certificate_settings(c=certs.good),
            "listeners": {"main": {"tls": "implicit", "certificate": "c"}}})
        self.gate.reload(settings)
        self.assertIn("mail.example.org", self.shown_names())
        self.gate.reload(merge(settings, {"certificates": certificate_settings(c=certs.second)}))
        self.assertIn("other.example.org", self.shown_names())

    def shown_names(self):
        context = ssl.create_default_context(cafile=certificates().ca.certificate)
        context.check_hostname = False
        c = self.client(self.gate, tls=True, context=context, name="x.example")
        return [v for _, v in c.socket.getpeercert()["subjectAltName"]]

    def test_many_reloads_in_mid_traffic(self):
        stop, codes = threading.Event(), []

        def traffic():
            while not stop.is_set():
                try:
                    with self.client(self.gate) as c:
                        c.hello()
                        for subject in ("a", "forbidden"):
                            codes.append(c.message(content=with_subject(subject)).code)
                        c.quit()
                except (OSError, Closed, AssertionError) as error:
                    codes.append(repr(error))

        threads = [threading.Thread(target=traffic) for _ in range(3)]
        for t in threads:
            t.start()
        for _ in range(30):
            self.gate.signal(signal.SIGHUP)
            self.gate.signal(signal.SIGHUP)
            threading.Event().wait(0.05)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(set(codes), {250, 550})
        self.assertEqual(codes.count(250), len(self.mta.messages()))

    def test_sighup_then_sigterm(self):
        self.gate.signal(signal.SIGHUP)
        self.gate.signal(signal.SIGTERM)
        self.gate.stop()


if __name__ == "__main__":
    unittest.main()
