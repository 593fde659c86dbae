# SPDX-License-Identifier: MIT
"""Whether ADDR:PORT can be bound (exit 0), or with --accepts whether somebody listens there."""
import socket
import sys


def resolve(text):
    host, _, port = text.rpartition(":")
    return socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]


def check_free(text):
    family, kind, protocol, _, place = resolve(text)
    with socket.socket(family, kind, protocol) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(place)
        s.listen(1)


def check_accepts(text):
    family, kind, protocol, _, place = resolve(text)
    with socket.socket(family, kind, protocol) as s:
        s.settimeout(2)
        s.connect(place)


def main():
    try:
        if sys.argv[1] == "--accepts":
            check_accepts(sys.argv[2])
        else:
            check_free(sys.argv[1])
    except OSError as error:
        sys.exit(f"quickstart: {sys.argv[-1]} cannot be used: {error.strerror} (ss -ltnp shows who listens)")


if __name__ == "__main__":
    main()
