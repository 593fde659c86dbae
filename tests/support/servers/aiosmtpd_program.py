# SPDX-License-Identifier: MIT
"""aiosmtpd as a server: `python3 -m … PORT FOLDER`; what it takes is kept in the folder as the sink keeps it."""
import asyncio
import sys

from aiosmtpd.smtp import SMTP, AuthResult

from tests.support.servers.common import DOMAIN, PASSWORD, SIZE_LIMIT, USER
from tests.support.sink import Store

REFUSALS = {"refuse550": "550 5.7.1 Refused by an access rule", "defer451": "451 4.7.1 Deferred by an access rule"}


def refusal(address):
    return next((reply for start, reply in REFUSALS.items() if address.startswith(start)), None)


class Handler:
    def __init__(self, folder):
        self.store = Store(folder)

    async def handle_MAIL(self, _server, _session, envelope, address, options):
        if reply := refusal(address):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender ok"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if reply := refusal(address):
            return reply
        if not address.endswith("@" + DOMAIN):
            return "550 5.7.1 Relay access denied"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, _server, _session, envelope):
        if b"\nX-Refuse: yes" in b"\n" + envelope.content:
            return "550 5.7.1 Refused by its header"
        ident = self.store.new_id()
        recipients = [{"address": r, "parameters": []} for r in envelope.rcpt_tos]
        self.store.keep(ident, {"sender": envelope.mail_from or "", "sender_parameters": envelope.mail_options,
                                "recipients": recipients}, envelope.content)
        return f"250 2.0.0 Ok: queued as {ident}"


def authenticate(_server, _session, _envelope, _mechanism, given):
    return AuthResult(handled=False, success=(given.login, given.password) == (USER.encode(), PASSWORD.encode()))


async def serve(port, folder):
    handler = Handler(folder)

    def session():
        return SMTP(handler, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, auth_require_tls=False,
                    authenticator=authenticate, hostname="aiosmtpd.example.org", ident="aiosmtpd", timeout=60)
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
