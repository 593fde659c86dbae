# SPDX-License-Identifier: MIT
"""The client of the gateway's demonstration: mail that passes and mail that is refused, over IPv4 and IPv6, and what
server and gateway say of it.

    gateway.py STATE SERVER-LOG SERVER-MAIL      exit code 0 only if all was as it should be
"""
import pathlib
import re
import smtplib
import sys
import time
import uuid

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
WAYS = (("IPv4", "192.0.2.2", "198.51.100.2"), ("IPv6", "2001:db8:1::2", "2001:db8:2::2"))
RECIPIENT = "you@example.net"
PATIENCE = 20.0


class Gateway:
    def __init__(self, state, server_log, mail):
        self.log = pathlib.Path(state) / "postern.log"
        self.server_log, self.mail = pathlib.Path(server_log), pathlib.Path(mail)
        self.good = True

    def send(self, server, sender, body):
        """The reply that decides, as text."""
        content = f"From: <{sender}>\r\nTo: <{RECIPIENT}>\r\nSubject: demo\r\n\r\n{body}\r\n"
        try:
            with smtplib.SMTP(server, 25, timeout=30) as client:
                client.ehlo("client.example.org")
                for code, text in (client.mail(sender), client.rcpt(RECIPIENT), client.data(content)):
                    if code >= 300:
                        break
        except (smtplib.SMTPException, OSError) as error:
            return f"no reply: {error}"
        return f"{code} {text.decode(errors='replace')}"

    def delivered(self, sender):
        return any(sender.encode() in path.read_bytes() for path in self.mail.rglob("*") if path.is_file())

    def find(self, path, pattern):
        """The last line with the pattern, as soon as it is there; "" when it does not come."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [line for line in path.read_text(errors="replace").splitlines() if re.search(pattern, line)]
            if found:
                return found[-1]
            time.sleep(0.05)
        return ""

    def wait_delivered(self, sender):
        end = time.monotonic() + PATIENCE
        while not self.delivered(sender) and time.monotonic() < end:
            time.sleep(0.05)
        return self.delivered(sender)

    def judge(self, right, what, shown):
        self.good = self.good and right
        print(f"{'ok  ' if right else 'BAD '} {what}")
        for line in shown.splitlines() or ["(nothing)"]:
            print(f"         {line}")

    def clean(self, family, address, server):
        sender = f"clean-{uuid.uuid4().hex[:8]}@example.org"
        print(f"A clean message over {family}, from {address} to {server}")
        reply = self.send(server, sender, "Hello.")
        self.judge(reply.startswith("250 "), "taken, in the server's own words", reply)
        self.judge(self.wait_delivered(sender), "delivered", f"in the server's mailbox: {self.delivered(sender)}")
        line = self.find(self.server_log, rf"\bconnect from .*\[{re.escape(address)}\]")
        self.judge(bool(line), "the server's log has the client's own address", line)
        self.in_log(sender, address, "accepted")

    def refused(self, family, address, server):
        sender = f"gtube-{uuid.uuid4().hex[:8]}@example.org"
        print(f"The GTUBE test text over {family}, from {address} to {server}")
        reply = self.send(server, sender, GTUBE)
        self.judge(reply.startswith("550 ") and "GTUBE" in reply, "refused, by postern", reply)
        self.in_log(sender, address, "rejected")
        self.judge(not self.delivered(sender), "the server has no such message",
                   f"in the server's mailbox: {self.delivered(sender)}")

    def in_log(self, sender, address, verdict):
        line = self.find(self.log, rf"event=transaction .*from={re.escape(sender)}")
        right = f"verdict={verdict} " in line and re.search(rf"client=\[?{re.escape(address)}\]?[: ]", line)
        self.judge(bool(right), "postern's log says what became of it, and why", line)

    def all(self):
        for way in WAYS:
            self.clean(*way)
            print()
            self.refused(*way)
            print()
        print("All as it should be." if self.good else f"Something is wrong: see BAD above, and {self.log}.")
        return 0 if self.good else 1


if __name__ == "__main__":
    sys.exit(Gateway(*sys.argv[1:4]).all())
