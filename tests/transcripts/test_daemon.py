# SPDX-License-Identifier: MIT
"""Every transcript of this folder on the real daemon: a scripted server on one side, a raw client on the other.

The bare engine runs the same files (tests/unit/session/test_transcripts.c), so what differs between the two is a
fault of relay, connections or configuration. Transcripts with `wait` (a clock that can be moved) or with limits below what
the configuration allows are the engine's alone; `relay` needs a redirected connection (tests/e2e/test_intercept.py).
"""
import fnmatch
import pathlib
import queue
import socket
import threading
import unittest

from tests.support.case import Case, certificates

FOLDER = pathlib.Path(__file__).resolve().parent
OFFER = "PIPELINING SIZE=10000000 8BITMIME DSN SMTPUTF8 ENHANCEDSTATUSCODES"
SECONDS = 10
ESCAPES = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}


def unescape(text):
    """Bytes of a line; without CRLF when it ends in \\c."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            if text[at + 1] == "c" and at + 2 == len(text):
                return out.encode("latin-1")
            out += ESCAPES.get(text[at + 1], text[at + 1])
            at += 2
        else:
            out += text[at]
            at += 1
    return (out + "\r\n").encode("latin-1")


class Lines:
    """A socket's lines, with a deadline; None at its end."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(SECONDS)
        self.waiting = b""

    def take(self):
        while b"\r\n" not in self.waiting:
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return None
            self.waiting += more
        line, self.waiting = self.waiting.split(b"\r\n", 1)
        return line.decode("latin-1")

    def silent(self):
        """True when nothing is there, and nothing comes for a moment."""
        if self.waiting:
            return False
        self.sock.settimeout(0.1)
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(SECONDS)


class Server:
    """The real server's side. The first connection is the daemon's question what is offered, answered here; each
    later one waits in `connections` for the transcript."""

    def __init__(self, offer):
        self.offer = [word.replace("=", " ") for word in offer.split()]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = queue.Queue()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        probed = False
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if probed:
                self.connections.put(Lines(sock))
            else:
                probed = True
                self.hello(Lines(sock))
                sock.close()

    def hello(self, lines):
        lines.sock.sendall(b"220 up.test ESMTP\r\n")
        lines.take()
        words = ["up.test", *self.offer]
        reply = [f"250{' ' if i + 1 == len(words) else '-'}{word}\r\n" for i, word in enumerate(words)]
        lines.sock.sendall("".join(reply).encode())

    def close(self):
        self.listener.close()


class Script:
    """One run of one transcript."""

    def __init__(self, case, path):
        self.case = case
        self.path = path
        text = path.read_text().splitlines()
        self.steps = [(n, line) for n, line in enumerate(text, 1) if line and not line.startswith("#")]
        self.options = dict((line.split(" ", 2) + [""])[1:3] for _, line in self.steps if line.startswith("option "))
        self.segment = {"C": b"", "U": b""}
        self.up = None

    def runs_on_a_daemon(self):
        tiny = {"recipients", "message", "relay"} & set(self.options)
        return not tiny and not any(line.startswith("wait ") for _, line in self.steps)

    def settings(self):
        listener = {"enforce_sync": "nosync" not in self.options,
                    "chunking": "nochunking" not in self.options,
                    "bare_newline": "normalize" if "normalize" in self.options else "reject",
                    "lenient_sync": ["127.0.0.0/8"] if "lenient_sync" in self.options else [],
                    "normalize_newlines": ["127.0.0.1"] if "lenient_newlines" in self.options else [],
                    "trust_xclient": ["127.0.0.1"] if "trust_xclient" in self.options else [],
                    "auth_needs_tls": "auth_clear" not in self.options}
        listener |= {query: self.options[query] for query in ("vrfy", "expn", "etrn") if query in self.options}
        if "starttls" in self.options:
            listener |= {"tls": "starttls", "certificate": "main"}
        limits = {name: self.options[name] for name in ("errors", "hold", "commands", "pipelined", "hops")
                  if name in self.options} or None
        return {"hostname": "gate.test", "listeners": {"main": listener}, "limits": limits,
                "upstreams": {"mta": {"keep": 0, "protocol": "lmtp" if "lmtp" in self.options else "smtp",
                                  "chunking": "always" if "bdat_always" in self.options else "yes"}},
                "certificates": {"main": {"certificate": certificates().good.certificate,
                                           "key": certificates().good.key}} if "starttls" in self.options else None}

    def run(self):
        server = Server(self.options.get("offer", OFFER))
        self.case.addCleanup(server.close)
        self.server = server
        self.daemon = self.case.postern(server.port, **self.settings())
        sock = socket.create_connection(("127.0.0.1", self.daemon.port), SECONDS)
        self.case.addCleanup(sock.close)
        self.client = Lines(sock)
        for number, line in self.steps:
            if not line.startswith("option "):
                with self.case.subTest(f"{self.path.name}:{number} {line}"):
                    self.step(line)

    # ---- steps ----

    def step(self, line):
        word, _, text = line.partition(" ")
        steps = {"C>": self.says, "C>>": self.says, "U>": self.says, "U>>": self.says, "C<": self.hears,
                 "U<": self.hears, "C": self.does, "U": self.does, "verdict": self.verdict}
        steps[word](word, text)

    def party(self, word):
        if word[0] == "C":
            return self.client
        if self.up is None:
            self.up = self.server.connections.get(timeout=SECONDS)
        return self.up

    def says(self, word, text):
        self.segment[word[0]] += unescape(text)
        if not word.endswith(">>"):
            self.party(word).sock.sendall(self.segment[word[0]])
            self.segment[word[0]] = b""

    def hears(self, word, text):
        line = self.party(word).take()
        if text == "EOF":
            self.case.assertIsNone(line)
            self.forget(word)
        else:
            self.case.assertIsNotNone(line, "the connection was closed")
            self.case.assertTrue(fnmatch.fnmatchcase(line, text), f"got {line!r}")

    def forget(self, word):
        if word[0] == "U":
            self.up = None

    def does(self, word, text):
        if word == "U" and text == "hello":
            self.up = self.server.connections.get(timeout=SECONDS)
            self.server.hello(self.up)
        elif text == "silent":
            quiet = self.up.silent() if self.up else self.server.connections.empty()
            self.case.assertTrue(quiet, "the server got something")
        else:
            self.party(word).sock.close()
            self.forget(word)

    def verdict(self, _word, text):
        self.daemon.wait_log(f"verdict={text} ")


class Transcripts(Case):
    """One test a file; made below."""


def make(path):
    def test(self):
        Script(self, path).run()

    return test


for found in sorted(FOLDER.glob("*.txt")):
    if Script(None, found).runs_on_a_daemon():
        setattr(Transcripts, f"test_{found.stem}", make(found))


if __name__ == "__main__":
    unittest.main()
