# SPDX-License-Identifier: MIT
"""A man in the middle that spoils what a server says or is told, to see that the oracle notices."""
import contextlib
import selectors
import socket
import threading


def carry(client, server, spoil):
    """Both directions until one side closes; spoil(upwards, data) -> data."""
    with client, server, selectors.DefaultSelector() as both:
        both.register(client, selectors.EVENT_READ, (server, True))
        both.register(server, selectors.EVENT_READ, (client, False))
        while True:
            for key, _ in both.select():
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data[0].sendall(spoil(key.data[1], data))


def serve(listener, port, spoil):
    with contextlib.suppress(OSError):  # the listener is closed at the end
        while True:
            client, _ = listener.accept()
            threading.Thread(target=quietly, args=(client, port, spoil), daemon=True).start()


def quietly(client, port, spoil):
    with contextlib.suppress(OSError):
        carry(client, socket.create_connection(("127.0.0.1", port)), spoil)


@contextlib.contextmanager
def liar(port, spoil):
    """The port of a liar in front of `port`."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, port, spoil), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
