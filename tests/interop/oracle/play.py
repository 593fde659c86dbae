# SPDX-License-Identifier: MIT
"""Plays a script against a port and writes down what came back.

One socket, one thread, no state of SMTP but the code of the last reply, so that the player itself cannot make two
plays of one script differ.
"""
import dataclasses
import socket
import ssl
import struct
import time

from tests.interop.oracle.script import CHUNKS, NONCE
from tests.support.client import trusting

PATIENCE = 30.0    # seconds for a reply that must come
PAUSE = 0.001      # between two segments
END_OF_LABEL = 70


@dataclasses.dataclass(frozen=True)
class How:
    lacking: frozenset = frozenset()  # of the server, see Script.without()
    tls: bool = False                 # STARTTLS before the script begins
    patience: float = PATIENCE


@dataclasses.dataclass(frozen=True)
class Said:
    """One reply, and what it answers: the unit, shortened; greeting, content, BDAT, QUIT, or "after: …"."""
    label: str
    code: int
    lines: tuple

    def __str__(self):
        return f"{self.code} " + " / ".join(self.lines)


@dataclasses.dataclass
class Transcript:
    replies: list = dataclasses.field(default_factory=list)
    end: str = ""      # closed: by the server; left: by us; silent: a reply did not come in time
    last: int = 0      # the code of the last reply


class Gone(Exception):
    """The server has closed."""


class Wire:
    def __init__(self, port, patience):
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, segments):
        try:
            for i, data in enumerate(segments):
                if i:
                    time.sleep(PAUSE)
                self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass  # what it said before it closed can still be read

    def line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                raise Gone
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "backslashreplace")

    def reply(self):
        lines = []
        while True:
            line = self.line()
            lines.append(line[4:])
            if not line[:3].isdigit():
                return 0, (line,)
            if line[3:4] != "-":
                return int(line[:3]), tuple(lines)

    def start_tls(self):
        self.socket = trusting().wrap_socket(self.socket)

    def leave(self, how):
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def label_of(unit):
    """What a reply to this unit will be listed under."""
    line, _, more = unit.partition(b"\r\n")
    words = line.upper().split()
    if words[:1] == [b"BDAT"]:
        return CHUNKS if words[-1:] == [b"LAST"] else "BDAT"
    if more or line == b".":
        return "content"
    text = line.decode("latin-1").encode("ascii", "backslashreplace").decode()
    return text if len(text) <= END_OF_LABEL else f"{text[:END_OF_LABEL]}… ({len(line)} octets)"


class Player:
    def __init__(self, script, port, nonce, how):
        self.script, self.nonce, self.how = script, nonce, how
        self.out = Transcript()
        self.wire = Wire(port, how.patience)

    def hear(self, label):
        """The next reply. Where one of the two plays says DATA for chunks, only the last reply to them is listed."""
        code, lines = self.wire.reply()
        self.out.last = code
        chunks_as_data = "CHUNKING" in self.how.lacking and ((label == CHUNKS and code == 354) or label == "BDAT")
        if not chunks_as_data:
            self.out.replies.append(Said(label, code, lines))

    def say(self, step):
        self.wire.send(step.segments(self.nonce))
        for unit in step.units if not step.rude else ():
            self.hear(step.label or label_of(unit))

    def play(self):
        if self.script.early:
            self.wire.send([self.script.early])
        self.hear("greeting")
        if self.how.tls:
            for command in ("EHLO client.example.org", "STARTTLS"):
                self.wire.send([f"{command}\r\n".encode()])
                self.hear(command)
            self.wire.start_tls()
        for step in self.script.steps:
            if step.needs and self.out.last != step.needs:
                continue
            alone = len(step.units) == 1 or step.rude or self.script.hurried
            for part in [step] if alone else step.apart():
                self.say(part)
        if self.script.ending == "quit":
            self.wire.send([b"QUIT\r\n"])
            rude = next((s.rude for s in self.script.steps if s.rude), "early" if self.script.early else "")
            while True:
                self.hear(f"after: {rude}" if rude else "QUIT")

    def run(self):
        try:
            self.play()
            self.out.end = "left"
        except Gone:
            self.out.end = "closed"
        except TimeoutError:
            self.out.end = "silent"
        finally:
            self.wire.leave(self.script.ending)
        return self.out


def play(script, port, nonce, how=How()):
    """The transcript of one session; `nonce` replaces NONCE and has its length."""
    assert len(nonce) == len(NONCE)
    return Player(script, port, nonce, how).run()
