# SPDX-License-Identifier: MIT
"""The quickstart's demonstration: sends messages through postern, shows each outcome, checks it with the sink.

    demo.py ADDR:PORT STATE      exit code 0 only if every outcome was the right one
"""
import base64
import json
import pathlib
import smtplib
import ssl
import sys
import time
import uuid

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
RECIPIENT = "you@example.net"
BURST = 14
ALLOWED = 10


def text_message(body):
    return f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"


def base64_message(body):
    coded = base64.encodebytes(body.encode()).decode().replace("\n", "\r\n")
    return f"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{coded}"


def attachment_message(name):
    return ("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            "--b\r\nContent-Type: text/plain\r\n\r\nsee attachment\r\n"
            f"--b\r\nContent-Type: application/octet-stream; name={name}\r\n"
            f"Content-Disposition: attachment; filename={name}\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b--\r\n")


class Demo:
    def __init__(self, place, state):
        host, _, port = place.rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)
        self.mail = pathlib.Path(state) / "mail"
        self.context = ssl.create_default_context(cafile=str(pathlib.Path(state) / "cert.pem"))
        self.context.check_hostname = False  # --listen may be any address; the certificate itself is pinned
        self.run = uuid.uuid4().hex[:12]
        self.good = True

    def sender(self, name):
        return f"{name}-{self.run}@example.org"

    def send(self, sender, message):
        """One message over STARTTLS; the reply (code, text), and the nonce that finds it in the sink."""
        nonce = uuid.uuid4().hex
        content = f"X-Demo: {nonce}\r\nFrom: <{sender}>\r\nTo: <{RECIPIENT}>\r\nSubject: demo\r\n{message}"
        client = smtplib.SMTP(self.host, self.port, timeout=30)
        try:
            client.starttls(context=self.context)
            client.ehlo()
            for step in (lambda: client.mail(sender), lambda: client.rcpt(RECIPIENT), lambda: client.data(content)):
                try:
                    code, text = step()
                except smtplib.SMTPDataError as error:  # refused before the 354
                    code, text = error.smtp_code, error.smtp_error
                if code >= 300:
                    break
            client.quit()
        except smtplib.SMTPServerDisconnected as error:
            code, text = 0, str(error).encode()
        return code, text.decode(errors="replace"), nonce

    def in_sink(self, nonce):
        needle = f"X-Demo: {nonce}\r\n".encode()
        return sum(needle in p.read_bytes() for p in self.mail.glob("*.eml"))

    def judge(self, what, right, outcome, stored):
        self.good = self.good and right
        print(f"{'ok  ' if right else 'BAD '} {what}")
        for line in outcome.splitlines():
            print(f"       {line}")
        print(f"       in the sink: {stored}")

    def one(self, what, name, message, code, says=""):
        got, text, nonce = self.send(self.sender(name), message)
        stored = self.in_sink(nonce)
        right = got == code and says.lower() in text.lower() and stored == (1 if code == 250 else 0)
        self.judge(f"{what}: wanted {code}", right, f"{got} {text}", "yes" if stored else "no")

    def burst(self):
        sender, replies = self.sender("burst"), []
        for i in range(BURST):
            replies.append(self.send(sender, text_message(f"message {i + 1}")))
        accepted = [r for r in replies if r[0] == 250]
        refused = [r for r in replies if r[0] != 250]
        stored = sum(self.in_sink(nonce) for _, _, nonce in replies)
        right = (all(r[0] == 250 for r in replies[:ALLOWED]) and bool(refused)
                 and all(r[0] == 450 and any(c.isdigit() for c in r[1][6:]) for r in refused)
                 and stored == len(accepted))
        outcome = f"{len(accepted)} accepted" + (f", then {refused[0][0]} {refused[0][1]}" if refused else "")
        self.judge(f"burst of {BURST} from one sender: wanted {ALLOWED} accepted, then 450", right, outcome, stored)

    def all(self):
        print(f"Sending to {self.host}:{self.port} over STARTTLS\n")
        self.one("clean message", "clean", text_message("Hello."), 250)
        self.one("GTUBE", "gtube", text_message(GTUBE), 550, "gtube")
        self.one("GTUBE inside base64", "coded", base64_message(GTUBE), 550, "gtube")
        self.one("attachment game.exe", "attachment", attachment_message("game.exe"), 550)
        self.burst()
        print("\nAll as it should be." if self.good else "\nSomething is wrong: see BAD above, and postern.log.")
        return 0 if self.good else 1


def check_envelopes(mail):
    """Every message that the sink keeps has its envelope beside it."""
    return all(json.loads(p.with_suffix(".json").read_text())["sender"] for p in mail.glob("*.eml"))


def main():
    started = time.monotonic()
    demo = Demo(sys.argv[1], sys.argv[2])
    code = demo.all()
    if not check_envelopes(demo.mail):
        code = 1
    print(f"({time.monotonic() - started:.1f} s; log: {sys.argv[2]}/postern.log)")
    return code


if __name__ == "__main__":
    sys.exit(main())
