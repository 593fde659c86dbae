# SPDX-License-Identifier: MIT
"""`postern explain`: what it says of messages of all kinds, that it connects to nothing, and that nothing of a
message steers a terminal."""
import base64
import json
import os
import subprocess
import unittest

from tests.support import net
from tests.support.case import Case
from tests.support.daemon import BUILD, SANITIZERS, config, environment, yaml

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
RULES = r"""[header:Subject]
/cheap\s+meds/i  SCORE 4 meds
[from]
/@spam\.example$/i  REJECT 5.7.1 Not you
[to]
/^nobody@/  REJECT 5.1.1 Nobody here
[text]
/GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL/  REJECT 5.7.1 GTUBE
/\bwallet\s+recovery\b/i  SCORE 2.5 wallet
/throw me away/  DISCARD
/mark me/  HEADER ADD X-Marked: yes
"""
CONTENT = {"plugin": "content", "rules": ["a.rules"], "score": {"reject": 6, "defer": 4}}
HTML = "Content-Type: text/html\n\n<html><p>XJS<b>*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STAND</b>ARD-ANTI-UBE-TEST-EMAIL*C.34X</p>\n"


class Explain(Case):
    def place(self, filters=None, order=None, **more):
        folder = self.fresh("explain")
        folder.mkdir(parents=True, exist_ok=True)
        filters = {"content": CONTENT} if filters is None else filters
        settings = config(net.free_port(), filters=filters, policies={"main": {"filters": order or list(filters)}}, **more)
        (folder / "postern.yaml").write_text(yaml(settings).lstrip("\n") + "\n")
        (folder / "a.rules").write_text(RULES)
        return folder

    def run_in(self, folder, *words, message=None):
        if message is not None:
            (folder / "m.eml").write_bytes(message if isinstance(message, bytes) else message.encode())
            words = ("m.eml", *words)
        return subprocess.run(
            [str(BUILD / "postern"), "explain", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=120, check=False, env=environment())

    def explain(self, message, *words, code=0, folder=None):
        """The account; no octet of it may steer a terminal."""
        done = self.run_in(folder or self.place(), "-c", "postern.yaml", *words, message=message)
        text = done.stdout.decode()
        self.assertEqual(done.returncode, code, text + done.stderr.decode())
        self.assertEqual(done.stderr, b"")
        for word in SANITIZERS:
            self.assertNotIn(word, text)
        self.assertEqual([c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)], [])
        return text

    def facts(self, message, *words, **options):
        return json.loads(self.explain(message, "--json", *words, **options))


class Messages(Explain):
    def test_clean(self):
        text = self.explain("Subject: =?utf-8?Q?caf=C3=A9?=\n\nHello.\n")
        self.assertIn("  Subject           café\n", text)
        self.assertIn("     | Hello.\n", text)
        self.assertIn("  content (content)\n    no objection\n", text)
        self.assertTrue(text.endswith("\nVerdict\n  accepted\n"), text)

    def test_gtube_in_its_disguises(self):
        encoded = base64.b64encode(GTUBE.encode()).decode()
        for name, message in (("plain", f"Subject: x\n\n{GTUBE}\n"), ("html", HTML),
                              ("base64", f"Content-Transfer-Encoding: base64\n\n{encoded}\n"),
                              ("no newline", f"Subject: x\n\n{GTUBE}"), ("dot", f"A: b\r\n\r\n..\r\n.\r\n.{GTUBE}\r\n")):
            with self.subTest(name):
                text = self.explain(message, code=1)
                self.assertRegex(text, r'    hit \S*a\.rules:8  "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL"\n')
                self.assertRegex(text, r"    refuses at end, rule \S*a\.rules:8: 550 5\.7\.1 GTUBE\n")
                self.assertRegex(text, r"Verdict\n  refused at end by filter content, rule \S*a\.rules:8\n"
                                       r"  the client reads: 550 5\.7\.1 GTUBE\n\Z")

    def test_scores_below_and_above(self):
        self.assertRegex(self.explain("Subject: x\n\nwallet recovery\n"), r"Scores\n  wallet +2\.5\n  sum +2\.5\n")
        deferred = self.explain("Subject: cheap meds\n\nx\n", code=1)
        self.assertRegex(deferred, r"deferred at end by filter content, rule score\.defer\n  the client reads: 450 4\.7\.1 ")
        refused = self.explain("Subject: cheap meds\n\nwallet recovery\n", code=1)
        self.assertRegex(refused, r"  meds +4\n  wallet +2\.5\n  sum +6\.5\n")
        self.assertRegex(refused, r"refused at end by filter content, rule score\.reject\n  the client reads: 550 5\.7\.1 ")

    def test_discarded(self):
        text = self.explain("A: b\n\nthrow me away\n", code=1)
        self.assertIn("  discarded at end by filter content, rule a.rules:10\n  the client reads: 250 2.0.0 Ok\n", text)

    def test_edits(self):
        text = self.explain("A: b\n\nmark me\n")
        self.assertRegex(text, r"Edits asked for\n  edits +\+X-Marked\n  text +X-Marked: yes\n")

    def test_envelope(self):
        refused = self.explain("A: b\n\nx\n", "--from", "a@SPAM.example", code=1)
        self.assertIn("refused at mail by filter content", refused)
        self.assertIn("     | x\n", refused)
        one = self.explain("A: b\n\nx\n", "--to", "nobody@a.example", "--to", "b@a.example")
        self.assertIn("<nobody@a.example>  550 5.1.1 Nobody here\n", one)
        late = self.explain(f"A: b\n\n{GTUBE}\n", "--to", "nobody@a.example", "--to", "b@a.example", code=1)
        self.assertIn("refused at end by filter content", late)
        none = self.explain("A: b\n\nx\n", "--to", "nobody@a.example", code=1)
        self.assertIn("refused at rcpt by filter content", none)

    def test_flags(self):
        facts = self.facts("Content-Type: text/plain; charset=no-such\nContent-Transfer-Encoding: base64\n\n!!!!\n")
        self.assertLessEqual({"charset-unknown", "bad-base64"}, {f["name"] for f in facts["flags"]})

    def test_postern_itself_refuses(self):
        folder = self.place(limits={"message": "1KiB"})
        text = self.explain("A: b\n\n" + 200 * "12345678\n", folder=folder, code=1)
        self.assertIn("refused at content by postern itself\n  the client reads: 552 5.3.4 Message size exceeds the limit\n", text)

    def test_empty(self):
        facts = self.facts("")
        self.assertEqual((facts["bytes"], facts["verdict"]["outcome"]), (0, "accepted"))

    def test_a_last_line_without_its_end_gets_one(self):
        whole = len("A: b\r\n\r\nx\r\n")
        for message in ("A: b\n\nx", "A: b\r\n\r\nx", "A: b\n\nx\n", "A: b\r\n\r\nx\r\n", "A: b\n\nx\r"):
            with self.subTest(message):
                self.assertEqual(self.facts(message)["bytes"], whole + message.endswith("x\r"))

    def test_standard_input(self):
        folder = self.place()
        done = subprocess.run([str(BUILD / "postern"), "explain", "-", "-c", "postern.yaml"], cwd=folder, check=False,
                              input=f"A: b\n\n{GTUBE}\n".encode(), capture_output=True, env=environment(), timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"5.7.1 GTUBE", done.stdout)


class Filters(Explain):
    def test_shadow(self):
        folder = self.place({"tried": {**CONTENT, "mode": "shadow"}})
        text = self.explain(f"A: b\n\n{GTUBE}\n", folder=folder)
        self.assertIn("tried (content), shadow: its answers are not enforced\n", text)
        self.assertRegex(text, r"    would refuse at end, rule \S*a\.rules:8: 550 5\.7\.1 GTUBE\n")

    def test_two_in_their_order(self):
        folder = self.place({"second": CONTENT, "first": {"plugin": "hello", "name": "elsewhere.example"}}, order=["first", "second"])
        facts = self.facts(f"A: b\n\n{GTUBE}\n", folder=folder, code=1)
        self.assertEqual([f["name"] for f in facts["filters"]], ["first", "second"])
        self.assertEqual(facts["verdict"]["filter"], "second")

    def limits(self, store):
        return {"limits": {"plugin": "ratelimit", "store": store,
                           "limits": {"each": {"key": ["sender"], "count": "recipients", "rate": "1/1h", "burst": 1}}}}

    def test_rate_limit_on_memory_of_its_own(self):
        folder = self.place(self.limits({"type": "memory"}))
        for _ in range(2):
            self.assertIn("accepted", self.explain("A: b\n\nx\n", folder=folder))
        text = self.explain("A: b\n\nx\n", "--to", "a@b.example", "--to", "c@d.example", folder=folder)
        self.assertRegex(text, r"<c@d\.example>  4\d\d ")

    def test_redis_is_not_asked(self):
        sink = self.sink()  # anything that counts its connections
        for on_error, code, word in (("tempfail", 1, "deferred at rcpt by filter limits"), ("allow", 0, "accepted")):
            with self.subTest(on_error):
                folder = self.place(self.limits({"type": "redis", "server": f"127.0.0.1:{sink.port}", "on_error": on_error}))
                text = self.explain("A: b\n\nx\n", folder=folder, code=code)
                self.assertIn("explain connects to nothing", text)
                self.assertIn(word, text)
        self.assertEqual(sink.connections, 0)


class Hostile(Explain):
    def test_controls_never_reach_the_terminal(self):
        evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\x08"
        message = (f"Subject: {evil}cheap\x1bmeds\n{evil}X: y\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
                   f"Content-Type: text/plain; charset=utf-8; name=\"{evil}.exe\"\n\n{evil} wallet recovery\n--b\n"
                   f"Content-Type: text/plain; charset=latin1\n\n".encode() + bytes(range(1, 256)) + b"\n--b--\n")
        text = self.explain(message)  # which looks at every octet
        self.assertIn(r"\x1b]0;owned\x07", text)
        self.assertIn("<U+202E>", text)
        facts = self.facts(message)
        self.assertIn("\x1b]0;owned", facts["header"][0]["value"])

    def peak(self, folder, message):
        """KiB. AddressSanitizer is not to keep what was freed."""
        (folder / "m.eml").write_bytes(message)
        env = environment()
        env["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
        process = subprocess.Popen([str(BUILD / "postern"), "explain", "m.eml", "-c", "postern.yaml"], cwd=folder, env=env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0  # it was waited for here
        return used.ru_maxrss

    def test_ten_mebibytes_in_little_memory(self):
        folder = self.place()
        big = b"Subject: x\n\n" + b"a line of text that is not short at all\n" * (10 * 1024 * 1024 // 40) + GTUBE.encode()
        small = self.peak(folder, b"A: b\n\n")
        grown = self.peak(folder, big) - small
        self.assertLess(grown, 6 * 1024, "KiB")
        text = self.explain(big, folder=folder, code=1)
        self.assertIn("more octets of text", text)
        self.assertLess(len(text), 8000)

    def test_many_parts_and_fields(self):
        message = "".join(f"X-{i}: y\n" for i in range(3000)) + "Content-Type: multipart/mixed; boundary=b\n\n"
        message += "".join(f"--b\nContent-Type: text/plain\n\npart {i}\n" for i in range(900)) + "--b--\n"
        text = self.explain(message)
        self.assertIn("  ... and 2501 more fields\n", text)
        self.assertEqual(text.count("\n  X-"), 500)


class Wrong(Explain):
    def test_usage(self):
        folder = self.place()
        for words in ((), ("m.eml",), ("-c", "postern.yaml"), ("a", "b", "-c", "x"), ("--nonsense",), ("m", "-c", "x", "--client", "y")):
            with self.subTest(words):
                done = self.run_in(folder, *words)
                self.assertEqual(done.returncode, 2, done)
                self.assertIn(b"usage:", done.stderr)
                self.assertEqual(done.stdout, b"")

    def test_files_that_are_not_there(self):
        folder = self.place()
        for path in ("absent.eml", "."):
            done = self.run_in(folder, path, "-c", "postern.yaml")
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(b"the message cannot be read: ", done.stderr)
        done = self.run_in(folder, "-c", "absent.yaml", message="A: b\n\n")
        self.assertEqual((done.returncode, done.stdout), (78, b""))

    def test_broken_configuration(self):
        folder = self.place()
        (folder / "a.rules").write_text("[text]\n/(/ REJECT x\n")
        done = self.run_in(folder, "-c", "postern.yaml", message="A: b\n\n")
        self.assertEqual((done.returncode, done.stdout), (78, b""))
        self.assertRegex(done.stderr.decode(), r"a\.rules:2:\d+: error: ")

    def test_which_policy(self):
        listeners = {"other": {"bind": [f"127.0.0.1:{net.free_port()}"], "tls": "none", "upstream": "mta", "policy": "open"}}
        folder = self.place(listeners=listeners)
        path = folder / "postern.yaml"
        path.write_text(path.read_text().replace("policies:\n", "policies:\n  open: {filters: []}\n"))
        message = f"A: b\n\n{GTUBE}\n"
        for words, code in (((), 2), (("--policy", "open"), 0), (("--listener", "other"), 0), (("--listener", "main"), 1),
                            (("--policy", "none"), 2)):
            with self.subTest(words):
                done = self.run_in(folder, "-c", "postern.yaml", *words, message=message)
                self.assertEqual(done.returncode, code, done)
                if code == 2:
                    self.assertIn(b"listeners: ", done.stderr)


class Programs(Explain):
    def test_keys(self):
        facts = self.facts("Subject: cheap meds\n\nhttp://a.example/b\n", code=1)
        self.assertEqual(set(facts), {"policy", "envelope", "bytes", "header", "parts", "flags", "urls", "filters", "score",
                                      "edits", "edited_fields", "tags", "incomplete", "verdict"})
        self.assertEqual(facts["score"], {"sum": 4, "names": [{"name": "meds", "points": 4}]})
        self.assertEqual(facts["header"], [{"name": "Subject", "value": "cheap meds"}])
        self.assertEqual(facts["parts"][0]["text"].strip(), "http://a.example/b")
        self.assertEqual(facts["urls"], [{"part": 0, "text": "http://a.example/b"}])
        hit = facts["filters"][0]["notes"][0]
        self.assertEqual((hit["kind"], hit["matched"]), ("hit", "cheap meds"))
        self.assertRegex(hit["rule"], r"a\.rules:2$")
        self.assertEqual((facts["verdict"]["outcome"], facts["verdict"]["code"]), ("deferred", 450))


if __name__ == "__main__":
    unittest.main()
