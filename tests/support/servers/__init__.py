# SPDX-License-Identifier: MIT
"""Real mail servers for tests, side by side, each with a folder and ports of its own on 127.0.0.1.

    from tests.support import servers

    with servers.start("exim") as server:       # one of servers.NAMES, or "dovecot"
        server.port                             # plain SMTP on 127.0.0.1
        server.settle()                         # waits until nothing more comes out of the server
        server.messages()                       # [Message(sender, parameters, recipients, content)]
        server.log()

Postfix and Dovecot are the installed ones. Exim, OpenSMTPD and aiosmtpd are Debian's, unpacked into a cache and never
installed (packages.py), in a mount namespace of their own where they need users and fixed paths (jail.py).

    client --SMTP--> the server --SMTP--> collector (tests.support.sink) --> messages()

All of them relay what they took to a collector, so that what they committed can be read byte for byte, with its
envelope and parameters. A message's Received headers, which differ at every try, are taken off. All hold to the
same words, as far as their configuration can say them:

    y.test is theirs, other domains are refused; refuse550…@ and defer451…@ are refused so at MAIL and RCPT;
    SIZE_LIMIT is their SIZE; alice has the password sesame; a message with a header `X-Refuse: yes` is refused at
    its end (by the sink: with a recipient data554…@; not by OpenSMTPD, whose own filters see no content).
"""
import contextlib
import importlib
import pathlib

from tests.support import net
from tests.support.servers.common import SIZE_LIMIT, Message, Server

__all__ = ["NAMES", "SIZE_LIMIT", "Message", "Server", "start"]

NAMES = ("sink", "postfix", "exim", "aiosmtpd", "opensmtpd")  # those that are alike
_MODULES = {name: f"tests.support.servers.{name}_server" for name in (*NAMES, "dovecot")}


@contextlib.contextmanager
def start(name, folder=None, **options):
    """A running server; it ends, and its folder goes, with the block. options: see its module."""
    made = importlib.import_module(_MODULES[name]).make
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder or stack.enter_context(net.folder(f"postern-{name}-")))
        yield stack.enter_context(made(folder, **options))
