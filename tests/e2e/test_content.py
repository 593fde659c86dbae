# SPDX-License-Identifier: MIT
"""The content filter through the daemon: what is found, what becomes of it, what the log says; shadow mode."""
import base64
import quopri
import unittest

from tests.support.case import GTUBE, Case, with_filters
from tests.support.client import stuffed

RULES = """[helo]
/^bad\\.example$/ REJECT 550 5.7.1 Bad name (rule helo)
[from]
/^spammer@/ REJECT 553 5.7.1 Not from you (rule from)
/^later@/ DEFER 450 4.7.1 Later (rule later)
[to]
/^trap@/ REJECT 550 5.7.1 Not to them (rule to)
[header:Subject]
/cheap\\s+meds/i REJECT 554 5.7.1 Not here, thanks (rule subject)
/\\bürgent\\b/i SCORE 6 urgent
/throw me away/ DISCARD as the test wishes
/just watch/ WARN watched
[header]
/X-Evil: yes/i REJECT 5.7.1 Evil header (rule header)
[body]
/^raw=20line/ REJECT 5.7.1 Raw line (rule body)
[text]
/XJS\\*C4JDBQADN1\\.NSBN3\\*2IDNEN\\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\\*C\\.34X/ REJECT 5.7.1 GTUBE (rule gtube)
/\\bwallet\\s+recovery\\b/i SCORE 5 wallet
/größe/i REJECT 5.7.1 Size matters (rule utf8)
[filename]
/\\.exe$/i REJECT 5.7.1 No programs by mail (rule exe)
"""


def text(body, headers=""):
    return f"Subject: t\r\n{headers}\r\n{body}\r\n"


def encoded(body, how, charset="utf-8", kind="text/plain"):
    raw = body.encode(charset)
    coded = (base64.encodebytes(raw) if how == "base64" else quopri.encodestring(raw)).decode("ascii")
    return (f"Subject: t\r\nMIME-Version: 1.0\r\nContent-Type: {kind}; charset={charset}\r\n"
            f"Content-Transfer-Encoding: {how}\r\n\r\n" + coded.replace("\n", "\r\n").rstrip("\r\n") + "\r\n")


def quoted(coded):
    return ("Subject: t\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
            f"Content-Transfer-Encoding: quoted-printable\r\n\r\n{coded}\r\n")


def multipart(*parts, headers="Subject: t\r\n"):
    joined = "".join(f"--b\r\n{p}" for p in parts)
    return f"{headers}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{joined}--b--\r\n"


def attachment(parameters):
    return f"Content-Type: application/octet-stream{parameters}\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQ\r\n"


DISPOSITION = "\r\nContent-Disposition: attachment; "
PLAIN = "Content-Type: text/plain\r\n\r\nsee attachment\r\n"
MESSAGES = {  # name: content, code, what the reply and the log name
    "clean": (text("hello"), 250, ""),
    "gtube": (text(GTUBE), 550, "rule gtube"),
    "gtube in base64": (encoded(GTUBE, "base64"), 550, "rule gtube"),
    "gtube in quoted-printable": (quoted("=\r\n".join(GTUBE)), 550, "rule gtube"),
    "gtube in quoted-printable, all coded": (quoted("".join(f"={ord(c):02X}" for c in GTUBE)), 550, "rule gtube"),
    "gtube in a nested part": (multipart(PLAIN, "Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n"
                                         + PLAIN.replace("see attachment", GTUBE) + "--c--\r\n"), 550, "rule gtube"),
    "gtube in UTF-16": (encoded(GTUBE, "base64", "utf-16le"), 550, "rule gtube"),
    "gtube in Latin-1 words": (encoded("Größe", "quoted-printable", "iso-8859-1"), 550, "rule utf8"),
    "gtube behind 300 KiB": (text("filler line of text\r\n" * 16000 + GTUBE), 550, "rule gtube"),
    "gtube inside an attachment that is no text": (multipart(PLAIN, attachment("; name=a.bin")), 250, ""),
    "subject": ("Subject: CHEAP\r\n  meds\r\n\r\nx\r\n", 554, "rule subject"),
    "subject, encoded": ("Subject: =?utf-8?B?Y2hlYXA=?= =?utf-8?Q?_meds?=\r\n\r\nx\r\n", 554, "rule subject"),
    "header": (text("x", "X-Evil: yes\r\n"), 550, "rule header"),
    "raw body": (text("raw=20line"), 550, "rule body"),
    "score below": (text("wallet recovery"), 250, ""),
    "score deferred": ("Subject: ürgent\r\n\r\nx\r\n", 450, ""),
    "score reached": ("Subject: ürgent\r\n\r\nwallet recovery\r\n", 550, ""),
    "file name": (multipart(PLAIN, attachment("; name=game.exe")), 550, "rule exe"),
    "file name in the disposition": (multipart(PLAIN, attachment(DISPOSITION + 'filename="G.EXE"')), 550, "rule exe"),
    "file name, RFC 2231": (multipart(PLAIN, attachment(
        DISPOSITION + "filename*0*=utf-8''g%61me; filename*1=.ex; filename*2=e")), 550, "rule exe"),
    "file name, encoded word": (multipart(PLAIN, attachment("; name=\"=?utf-8?B?Z2FtZS5leGU=?=\"")), 550, "rule exe"),
    "file name that is fine": (multipart(PLAIN, attachment("; name=game.exe.txt")), 250, ""),
    "warned": ("Subject: just watch\r\n\r\nx\r\n", 250, ""),
}
ENVELOPES = {  # name: EHLO, sender, recipient, the step that is refused, code, rule
    "helo": ("bad.example", "a@x.test", "b@y.test", "MAIL", 550, "rule helo"),
    "from": ("ok.example", "spammer@x.test", "b@y.test", "MAIL", 553, "rule from"),
    "from, later": ("ok.example", "later@x.test", "b@y.test", "MAIL", 450, "rule later"),
    "to": ("ok.example", "a@x.test", "trap@y.test", "RCPT", 550, "rule to"),
}


def content_filter(**more):
    return {"plugin": "content", "rules": ["rules/*.rules"], "score": {"reject": 10, "defer": 6}, **more}


class Content(Case):
    def gate(self, sink, rules=RULES, **more):
        return self.postern(sink, files={"rules/test.rules": rules},
                            **with_filters("content", content=content_filter(**more)))

    def test_verdicts_on_content(self):
        sink = self.sink()
        p = self.gate(sink)
        c = self.ready_client(p)
        for n, (name, (content, code, rule)) in enumerate(MESSAGES.items()):
            with self.subTest(name):
                before = len(sink.messages())
                reply = c.message(content=stuffed(content))
                self.assertEqual(reply.code, code, reply)
                self.assertIn(rule, reply.text)
                line = p.transactions(n + 1)[n]
                self.assertEqual(line["verdict"], {2: "accepted", 4: "deferred", 5: "rejected"}[code // 100])
                stored = sink.messages()[before:]
                self.assertEqual([m.content for m in stored], [content.encode()] if code == 250 else [])
                if code != 250:
                    self.assertEqual((line["filter"], line["code"]), ("content", str(code)))
                    self.assertIn(line["sid"], reply.text)
                if rule:
                    self.assertRegex(line["rule"], r"test\.rules:\d+")
                    self.check_line_number(line["rule"], rule)

    def check_line_number(self, place, rule):
        number = int(place.rpartition(":")[2])
        self.assertIn(f"({rule})", RULES.splitlines()[number - 1])

    def test_verdicts_on_envelopes(self):
        sink = self.sink()
        p = self.gate(sink)
        for name, (helo, sender, recipient, step, code, rule) in ENVELOPES.items():
            with self.subTest(name):
                c = self.client(p)
                c.expect(220)
                replies = {"EHLO": c.say(f"EHLO {helo}"), "MAIL": c.say(f"MAIL FROM:<{sender}>")}
                replies["RCPT"] = c.say(f"RCPT TO:<{recipient}>")
                refused = next((s for s, r in replies.items() if r.code >= 400), None)
                self.assertIn(refused, (step, "EHLO") if name == "helo" else (step,))
                self.assertEqual(replies[refused].code, code)
                self.assertIn(rule, replies[refused].text)
        self.assertFalse(any("spammer" in line or "trap" in line for line in sink.commands()))

    def test_refused_at_mail_costs_no_upstream_connection(self):
        sink = self.sink()
        p = self.gate(sink)
        before = self.connections_after_probe(sink)
        for _ in range(5):
            with self.client(p) as c:
                c.hello()
                c.say("MAIL FROM:<spammer@x.test>", 553)
        self.assertEqual(sink.connections, before)

    def test_refused_content_leaves_the_upstream_connection_clean(self):
        sink = self.sink()
        c = self.ready_client(self.gate(sink))
        self.assertEqual(c.message(content=text(GTUBE)).code, 550)
        self.assertEqual(c.message("second@x.test", ["second@y.test"]).code, 250)
        kept = self.only_message(sink)
        self.assertEqual((kept.sender, kept.recipients), ("second@x.test", ["second@y.test"]))

    def test_discard_is_said_in_the_log(self):
        sink = self.sink()
        p = self.gate(sink)
        c = self.ready_client(p)
        self.assertEqual(c.message(content="Subject: throw me away\r\n\r\nx\r\n").code, 250)
        self.assertEqual(p.transactions()[-1]["verdict"], "discarded")
        self.assertEqual(sink.messages(), [])

    def test_scores_are_in_the_log(self):
        p = self.gate(self.sink())
        c = self.ready_client(p)
        c.message(content="Subject: ürgent\r\n\r\nwallet recovery\r\n".encode())
        line = p.transactions()[-1]
        self.assertEqual(float(line["score"]), 11.0)
        self.assertIn("wallet", line["scores"])
        self.assertIn("urgent", line["scores"])

    def test_shadow_counts_and_does_not_enforce(self):
        sink = self.sink()
        p = self.gate(sink, mode="shadow")
        c = self.ready_client(p)
        for content, _, _ in MESSAGES.values():
            self.assertEqual(c.message(content=stuffed(content)).code, 250)
        self.assertEqual(len(sink.messages()), len(MESSAGES))
        self.assertEqual({t["verdict"] for t in p.transactions(len(MESSAGES))}, {"accepted"})
        self.assertTrue(any("shadow" in line and "content" in line for line in p.log_lines()))

    def test_catastrophic_pattern_is_bounded(self):
        p = self.gate(self.sink(), "[text]\n/^(a+)+$/ REJECT 5.7.1 slow\n/(x+x+)+y/ REJECT 5.7.1 slow\n")
        c = self.ready_client(p, timeout=30)
        reply = c.message(content=text("a" * 900 + "!\r\n" + "x" * 900))
        self.assertIn(reply.code, (250, 451))
        self.assertEqual(self.ready_client(p).message().code, 250)

    def test_many_messages_at_once(self):
        sink = self.sink()
        p = self.gate(sink)
        clients = [self.ready_client(p) for _ in range(20)]
        for i, c in enumerate(clients):
            c.envelope()
            c.say("DATA", 354)
            c.send(text(GTUBE if i % 2 else "clean")[:30])
        for i, c in enumerate(clients):
            c.send(text(GTUBE if i % 2 else "clean")[30:] + ".\r\n")
        self.assertEqual([c.reply().code for c in clients], [550 if i % 2 else 250 for i in range(20)])


if __name__ == "__main__":
    unittest.main()
