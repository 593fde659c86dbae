# SPDX-License-Identifier: MIT
"""A server of which each connection does what one function says: for peers that no mail server would be.

    with Peer(lambda s, number: s.sendall(b"554 no\\r\\n")) as peer:
        peer.port

The function has the socket and the number of the connection, from 0 on, in a thread of its own; when it returns, or
fails because the client left, the connection is closed. converse() is a server with fixed replies, for such functions.
"""
import contextlib
import socket
import threading

SECONDS = 60


class Peer:
    def __init__(self, speak, host="127.0.0.1"):
        self.speak = speak
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_exc):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                s.settimeout(SECONDS)
                thread = threading.Thread(target=self._serve, args=(s, len(self.sockets)), daemon=True)
                self.sockets.append(s)
                self.threads.append(thread)
                thread.start()

    def _serve(self, s, number):
        with contextlib.suppress(OSError, EOFError), s:
            self.speak(s, number)


def read_line(s):
    """With its LF, and not an octet more."""
    line = b""
    while not line.endswith(b"\n"):
        octet = s.recv(1)
        if not octet:
            raise EOFError
        line += octet
    return line


def wait_for_end(s):
    """Until the client has left; what it says is not answered."""
    while s.recv(4096):
        pass


def converse(s, replies, greeting=b"220 peer.test ESMTP\r\n"):
    """`replies`: by verb; others get 502. A function as a reply gets the socket."""
    s.sendall(greeting)
    while True:
        verb = read_line(s).split()[:1]
        reply = replies.get(verb[0].upper().decode("latin-1") if verb else "", b"502 5.5.1 Not here\r\n")
        if callable(reply):
            reply(s)
        else:
            s.sendall(reply)
