# SPDX-License-Identifier: MIT
"""A raw SMTP client: it sends exactly the bytes it is told to and reads replies one at a time.

    with Smtp(port) as c:
        c.expect("220")
        c.say("EHLO me", "250")
        c.send(b"MAIL FROM:<a@x.test>\\r\\nRCPT TO:<b@y.test>\\r\\n")
        reply = c.reply()         # Reply(code=250, lines=["2.1.0 Ok"], raw=b"250 2.1.0 Ok\\r\\n")
"""
import base64
import contextlib
import dataclasses
import re
import socket
import ssl
import struct
import time


@dataclasses.dataclass(frozen=True)
class Reply:
    code: int
    lines: list
    raw: bytes

    @property
    def text(self):
        return "\n".join(self.lines)

    def __str__(self):
        return f"{self.code} {self.text}"


class Closed(Exception):
    """The other side closed where a reply was awaited."""


def stuffed(content):
    """Content as it goes over the wire: a dot more before each line that begins with one."""
    return re.sub(rb"(?m)^\.", b"..", content if isinstance(content, bytes) else content.encode())


def trusting():
    """A client context that trusts everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Smtp:
    def __init__(self, port, host="127.0.0.1", timeout=15.0, tls=False, name=None, context=None, source=None):
        self.socket = socket.create_connection((host, port), timeout, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.context, self.name = context, name
        if tls:
            self.handshake()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.close()

    def reset(self):
        """Leaves with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def handshake(self):
        self.socket = (self.context or trusting()).wrap_socket(self.socket, server_hostname=self.name)

    # ---- bytes ----

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def trickle(self, data, size=1, pause=0.0):
        for i in range(0, len(data), size):
            self.send(data[i:i + size])
            if pause:
                time.sleep(pause)

    def _fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(f"closed; unread: {self.buffer!r}")
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self._fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def reply(self):
        raw, lines = b"", []
        while True:
            line = self.line()
            raw += line
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text[:3].isdigit() or text[3:4] not in ("", " ", "-") or not line.endswith(b"\r\n"):
                raise AssertionError(f"not a reply line: {line!r}")
            lines.append(text[4:])
            if text[3:4] != "-":
                return Reply(int(text[:3]), lines, raw)

    def at_eof(self, seconds=10.0):
        """True when the other side has closed and said nothing more."""
        self.socket.settimeout(seconds)
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def quiet(self, seconds):
        """True when nothing comes for a while."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            return self.buffer == b"" and not self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    # ---- the dialogue ----

    def expect(self, code):
        """The next reply; its code must begin with `code`."""
        reply = self.reply()
        if not str(reply.code).startswith(str(code)):
            raise AssertionError(f"wanted {code}, got: {reply}")
        return reply

    def say(self, command, code=None):
        self.send(command.encode() + b"\r\n" if isinstance(command, str) else command + b"\r\n")
        return self.expect(code if code is not None else "")

    def hello(self, name="client.example.org"):
        """Greeting and EHLO; returns the keywords, upper case, with their parameters."""
        self.expect(220)
        return self.ehlo(name)

    def ehlo(self, name="client.example.org"):
        lines = self.say(f"EHLO {name}", 250).lines[1:]
        return {k.upper(): v for k, _, v in (line.partition(" ") for line in lines)}

    def starttls(self):
        self.say("STARTTLS", 220)
        if self.buffer:
            raise AssertionError(f"plain text after the reply to STARTTLS: {self.buffer!r}")
        self.handshake()

    def login(self, user, password):
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.say(f"AUTH PLAIN {token}")

    def envelope(self, sender="a@x.test", recipients=("b@y.test",)):
        self.say(f"MAIL FROM:<{sender}>", 250)
        for r in recipients:
            self.say(f"RCPT TO:<{r}>", 250)

    def content(self, content):
        """Content as given (it must end with CRLF, dots stuffed by the caller) and the end. The reply."""
        self.send((content if isinstance(content, bytes) else content.encode()) + b".\r\n")
        return self.reply()

    def message(self, sender="a@x.test", recipients=("b@y.test",), content="Subject: t\r\n\r\nbody\r\n"):
        self.envelope(sender, recipients)
        self.say("DATA", 354)
        return self.content(content)

    def quit(self):
        return self.say("QUIT", 221)


CONTENT = "Subject: t\r\n\r\nbody\r\n"
GOOD = {"greeting": 220, "EHLO": 250, "MAIL": 250, "RCPT": 250, "DATA": 354, "DOT": 250}


def dialogue(c, sender="a@x.test", content=CONTENT):
    """One transaction, as far as it goes: [(step, code, or None for a close)]; the last is the first bad one."""
    steps = (("greeting", None), ("EHLO", "EHLO me.example"), ("MAIL", f"MAIL FROM:<{sender}>"),
             ("RCPT", "RCPT TO:<b@y.test>"), ("DATA", "DATA"), ("DOT", content + "."))
    done = []
    for step, command in steps:
        try:
            if command:
                c.send(command + "\r\n")
            code = c.reply().code
        except (Closed, ConnectionError):
            code = None
        done.append((step, code))
        if code != GOOD[step]:
            break
    return done
