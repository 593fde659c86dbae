# SPDX-License-Identifier: MIT
"""Debian's OpenSMTPD, unpacked and in a jail, relaying to the collector."""
import dataclasses

from tests.support import net
from tests.support.servers import common, packages
from tests.support.servers.jail import Jail, end

CONFIGURATION = """
smtp max-message-size "{size}"
smtp limit max-mails 1000
smtp limit max-rcpt 1000
queue ttl 1h
filter refuse-sender phase mail-from match mail-from regex "^refuse550" reject "550 5.7.1 Refused by an access rule"
filter defer-sender phase mail-from match mail-from regex "^defer451" reject "451 4.7.1 Deferred by an access rule"
filter refuse phase rcpt-to match rcpt-to regex "^refuse550" reject "550 5.7.1 Refused by an access rule"
filter defer phase rcpt-to match rcpt-to regex "^defer451" reject "451 4.7.1 Deferred by an access rule"
filter all chain {{ refuse-sender, defer-sender, refuse, defer }}
listen on 127.0.0.1 port {port} hostname smtpd.example.org filter all
{more}
action out relay host "smtp://127.0.0.1:{collector}"
match from any for domain "{domain}" action out
"""
PROGRAM = "/run/opensmtpd/usr/sbin/smtpd"
LIBEVENT = "libevent-2.1-7|libevent-2.1-7t64"
LIBRARIES = "/run/libevent"


class OpenSmtpd(common.Server):
    name = "opensmtpd"

    def __init__(self, folder, more=""):
        """more: lines behind the listener's."""
        super().__init__(folder)
        self.more = more

    def start(self):
        self.port = net.free_port()
        shown = {"/run/opensmtpd": packages.unpacked("opensmtpd"), LIBRARIES: packages.unpacked(LIBEVENT)}
        self.jail = Jail(self.folder / "jail", ["opensmtpd", "opensmtpq"], shown)
        self.jail.path("/var/lib/opensmtpd/empty").mkdir(parents=True)
        self.spool = self.jail.path("/var/spool/smtpd")
        self.spool.mkdir(mode=0o711)
        (self.jail.path("/run") / "smtpd.conf").write_text(CONFIGURATION.format(
            port=self.port, collector=self.collector.port, size=common.SIZE_LIMIT, domain=common.DOMAIN,
            more=self.more))
        (self.jail.path("/run") / "mailname").write_text("smtpd.example.org\n")
        self.process = self.jail.popen([PROGRAM, "-dv", "-f", "/run/smtpd.conf"], self.folder / "smtpd.log",
                                       packages.environment({LIBRARIES: LIBEVENT}))
        self.await_listening(self.process)

    def stop(self):
        if self.process:
            end(self.process)

    def idle(self):
        return not any(p.is_file() for part in ("queue", "incoming") for p in (self.spool / part).rglob("*"))

    def messages(self):
        """It keeps recipients in no order, and may send a message on in several transactions: put together again."""
        parts = {}
        for kept in self.collector.messages():  # alike to the last byte, the id in its Received included
            parts.setdefault(kept.content, []).append(common.read_back(kept))
        return [dataclasses.replace(same[0], recipients=tuple(sorted(r for m in same for r in m.recipients)))
                for same in parts.values()]

    def log(self):
        path = self.folder / "smtpd.log"
        return path.read_text(errors="replace") if path.exists() else ""


def make(folder, **options):
    return OpenSmtpd(folder, **options)
