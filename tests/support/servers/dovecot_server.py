# SPDX-License-Identifier: MIT
"""Dovecot's submission service (dovecot-submissiond): AUTH of its own, the message goes on to the collector.

It listens twice: `port` is plain, `proxied` is for those who say a PROXY header first. XCLIENT is offered to 127.0.0.1.
"""
import os
import pathlib
import pwd
import subprocess

from tests.support import net
from tests.support.servers import common

CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = submission
hostname = dovecot.example.org
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_verbose = yes
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%n
login_trusted_networks = 127.0.0.1
haproxy_trusted_networks = 127.0.0.1
haproxy_timeout = 5s
submission_relay_host = 127.0.0.1
submission_relay_port = {collector}
submission_relay_trusted = yes
submission_max_mail_size = {size}
mail_plugins =
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%n {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {folder}/users
}}
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener proxied {{
    address = 127.0.0.1
    port = {proxied}
    haproxy = yes
  }}
}}
service imap-urlauth-login {{
  unix_listener imap-urlauth {{
    mode = 0
  }}
}}
"""
PROGRAM = pathlib.Path("/usr/lib/dovecot/submission-login")


def missing():
    """Why it cannot run here; None: it can."""
    if not PROGRAM.exists():
        return "dovecot-submissiond is not installed"
    version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    return None if version.startswith("2.3") else f"Dovecot {version.split()[0]} wants another configuration than 2.3"


class DovecotServer(common.Server):
    name = "dovecot"

    def start(self):
        self.port, self.proxied = net.free_port(), net.free_port()
        owner = pwd.getpwnam("nobody")
        mail = self.folder / "mail"
        mail.mkdir()
        os.chown(mail, owner.pw_uid, owner.pw_gid)
        (self.folder / "users").write_text(
            f"{common.USER}:{{plain}}{common.PASSWORD}:{owner.pw_uid}:{owner.pw_gid}::{mail}::\n")
        (self.folder / "dovecot.conf").write_text(CONFIGURATION.format(
            folder=self.folder, port=self.port, proxied=self.proxied, collector=self.collector.port,
            size=common.SIZE_LIMIT))
        with open(self.folder / "start.log", "ab") as out:
            self.process = subprocess.Popen(["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.await_listening(self.process)

    def stop(self):
        if self.process:
            net.end_process(self.process)

    def log(self):
        return "".join(p.read_text(errors="replace") for p in sorted(self.folder.glob("*.log")))


def make(folder):
    return DovecotServer(folder)
