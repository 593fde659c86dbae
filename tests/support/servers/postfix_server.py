# SPDX-License-Identifier: MIT
"""The installed Postfix (tests.support.mta), with Dovecot for AUTH in the clear, relaying to the collector."""
from tests.support.case import certificates
from tests.support.mta import Postfix
from tests.support.servers import common

MORE = """
mydestination =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = regexp:{folder}/recipients
virtual_transport = smtp:[127.0.0.1]:{collector}
smtp_destination_recipient_limit = 1000
default_destination_concurrency_limit = 20
smtp_line_length_limit = 0
smtpd_sender_restrictions = check_sender_access regexp:{folder}/access
smtpd_recipient_restrictions = check_recipient_access regexp:{folder}/access, permit_auth_destination, reject
header_checks = regexp:{folder}/headers
local_header_rewrite_clients =
message_size_limit = {size}
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = no
smtpd_hard_error_limit = 1000
smtpd_soft_error_limit = 1000
smtpd_timeout = 60s
disable_dns_lookups = yes
lmtp_host_lookup = native
smtp_host_lookup = native
smtpd_peername_lookup = no
"""
ACCESS = ("/^refuse550.*@/ 550 5.7.1 Refused by an access rule\n"
          "/^defer451.*@/ 451 4.7.1 Deferred by an access rule\n")


class PostfixServer(common.Server):
    name = "postfix"
    postfix = None

    def start(self):
        home = self.folder / "postfix"
        home.mkdir()
        more = MORE.format(folder=home, collector=self.collector.port, domain=common.DOMAIN,
                           size=common.SIZE_LIMIT)
        (home / "access").write_text(ACCESS)
        (home / "recipients").write_text("if !/^unknown/\n/@/ all/\nendif\n")
        (home / "headers").write_text("/^X-Refuse: yes/ REJECT Refused by its header\n")
        postfix = Postfix(home, certificates().good, {common.USER: common.PASSWORD}, more)
        self.postfix = postfix.__enter__()
        self.port = postfix.plain

    def stop(self):
        if self.postfix:
            self.postfix.__exit__(None, None, None)

    def idle(self):
        return self.postfix.empty_queue()

    def log(self):
        return self.postfix.log() if self.postfix else ""


def make(folder):
    return PostfixServer(folder)
