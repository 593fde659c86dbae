# SPDX-License-Identifier: MIT
"""A DNS server of the test's own, and how a daemon gets it as its resolver.

    with Network(), Dns() as dns:
        dns.add("mx.example.org", "A", bytes([127, 0, 0, 1]))
        dns.add("_25._tcp.mx.example.org", "TLSA", tlsa(3, 1, 1, digest))
        daemon.prefix = dns.prefix(folder)

It listens at 127.0.0.1:53 of the network namespace that it is started in. Names that it does not have do not
exist. `secure` names (all, unless told) have the AD bit in their answers, for those who ask for it; `broken`
names get SERVFAIL.
"""
import pathlib
import socket
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "AAAA": 28, "TLSA": 52}
QR, RD, RA, AD = 0x8000, 0x0100, 0x0080, 0x0020
NXDOMAIN, SERVFAIL = 3, 2


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def tlsa(usage, selector, matching, data):
    return bytes([usage, selector, matching]) + data


def question(message):
    """The name in lower case, the type, and where the question ends."""
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("ascii", "replace").lower())
        at += 1 + message[at]
    return ".".join(labels), struct.unpack_from(">H", message, at + 1)[0], at + 5


class Dns:
    def __init__(self):
        self.records = {}  # name -> [(type, data)]
        self.insecure, self.broken = set(), set()
        self.asked = []  # (name, type)
        self.ttl = 300
        self.socket = self.thread = None

    def __enter__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", 53))
        self.thread.join()
        self.socket.close()

    def add(self, name, kind, *data):
        self.records.setdefault(name, []).extend((TYPES[kind], d) for d in data)

    def questions(self, kind):
        return [name for name, asked in self.asked if asked == TYPES[kind]]

    def prefix(self, folder):
        """What to put in front of a program's words, so that it asks us."""
        path = pathlib.Path(folder) / "resolv.conf"
        path.write_text("nameserver 127.0.0.1\n")
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(path)]

    def _serve(self):
        while True:
            message, client = self.socket.recvfrom(4096)
            if not message:
                return
            self.socket.sendto(self._answer(message), client)

    def _answer(self, message):
        name, kind, end = question(message)
        flags, = struct.unpack_from(">H", message, 2)
        self.asked.append((name, kind))
        known = self.records.get(name, [])
        found = [r for r in known if r[0] in (kind, TYPES["CNAME"])]
        for _type, target in found[:1] if found and found[0][0] == TYPES["CNAME"] else []:
            found = found + [(k, d, target) for k, d in self.records.get(self._text(target), []) if k == kind]
        code = SERVFAIL if name in self.broken else 0 if known else NXDOMAIN
        answers = [] if name in self.broken else found
        secure = AD if flags & AD and name not in self.insecure else 0
        head = message[:2] + struct.pack(">5H", QR | RA | (flags & RD) | secure | code, 1, len(answers), 0, 0)
        return head + message[12:end] + b"".join(self._record(*a) for a in answers)

    @staticmethod
    def _text(target):
        return question(b"\0" * 12 + target + b"\0\0\0\0")[0]

    def _record(self, kind, data, owner=b"\xc0\x0c"):
        return owner + struct.pack(">HHIH", kind, 1, self.ttl, len(data)) + data
