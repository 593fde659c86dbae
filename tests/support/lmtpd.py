# SPDX-License-Identifier: MIT
"""A real LMTP server: Dovecot's, with a folder and a port of its own, delivering into maildirs as nobody."""
import os
import pathlib
import pwd
import subprocess

from tests.support import net

CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%n
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%n {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {folder}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


class Lmtpd:
    """Use as a context manager. Mail for the names in `broken` cannot be delivered: 451 behind the dot."""

    def __init__(self, folder, names=("bob", "carol", "dave"), broken=("dave",)):
        self.folder = pathlib.Path(folder)
        self.port = net.free_port()
        self.names, self.broken = names, broken

    def __enter__(self):
        owner = pwd.getpwnam("nobody")
        mail = self.folder / "mail"
        mail.mkdir(parents=True)
        self.folder.chmod(0o755)
        for name in self.names:
            (mail / name).mkdir()
            if name not in self.broken:
                os.chown(mail / name, owner.pw_uid, owner.pw_gid)
        (self.folder / "users").write_text("".join(
            f"{name}:{{plain}}x:{owner.pw_uid}:{owner.pw_gid}::{mail}/{name}::\n" for name in self.names))
        (self.folder / "dovecot.conf").write_text(CONFIGURATION.format(folder=self.folder, port=self.port))
        self.process = subprocess.Popen(["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        net.wait_port(self.port)
        return self

    def __exit__(self, *_exc):
        net.end_process(self.process)

    def messages(self, name):
        return [p.read_bytes() for p in sorted((self.folder / "mail" / name / "new").glob("*"))]
