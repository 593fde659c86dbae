# SPDX-License-Identifier: MIT
"""A real Postfix, with Dovecot for SASL, of the test's own: own folder, own ports on 127.0.0.1.

Nothing of the system's mail server is read or touched. All mail for any domain is delivered by virtual(8)
into one maildir, which messages() reads. Needs root, as Postfix' master does.

  plain port      no AUTH, STARTTLS offered
  submission port STARTTLS required, AUTH required (Dovecot), offered after TLS only
"""
import grp
import os
import pathlib
import pwd
import re
import shutil
import subprocess

from tests.support import net

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = mta.example.org
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks =
alias_maps =
local_recipient_maps =
smtpd_recipient_restrictions = permit_auth_destination, reject
smtpd_relay_restrictions = permit_auth_destination, reject
virtual_mailbox_domains = regexp:{folder}/any_domain
virtual_mailbox_base = {folder}
virtual_mailbox_maps = regexp:{folder}/any_mailbox
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_loglevel = 1
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/dovecot/auth
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtputf8_enable = yes
{more}
"""

MASTER = """
127.0.0.1:{plain} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

DOVECOT_23 = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login cram-md5
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%u {folder}/users
}}
"""
DOVECOT_24 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login cram-md5
auth_allow_cleartext = yes
passdb passwd-file {{
  passwd_file_path = {folder}/users
  default_password_scheme = plain
}}
"""
DOVECOT_AUTH = """
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
  unix_listener auth-master {{
    mode = 0600
  }}
}}
"""


def once(settings):
    """Lines of main.cf, of each name the last one: Postfix warns of the others, and its master, which starts the
    logging daemon, hangs for good when it has more to say than that daemon's socket holds until then (ten lines)."""
    last = dict(line.split(" =", 1) for line in settings.splitlines() if line)
    return "".join(f"{name} ={value}\n" for name, value in last.items())


def daemon_directory():
    done = subprocess.run(["postconf", "-dh", "daemon_directory"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Dovecot:
    """Dovecot's auth service alone: a socket that Postfix asks."""

    def __init__(self, folder, users):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        (self.folder / "users").write_text("".join(f"{u}:{{plain}}{p}\n" for u, p in users.items()))
        version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout
        shape = DOVECOT_23 if version.startswith("2.3") else DOVECOT_24
        (self.folder / "dovecot.conf").write_text((shape + DOVECOT_AUTH).format(folder=self.folder))

    def start(self):
        with open(self.folder / "start.log", "wb") as out:
            self.process = subprocess.Popen(["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        net.wait_until(lambda: (self.folder / "auth").exists() or self.process.poll() is not None, 15,
                       "Dovecot's auth socket")
        if self.process.poll() is not None:
            raise RuntimeError("dovecot: " + self.log())

    def log(self):
        return "".join(p.read_text() for p in self.folder.glob("*.log"))

    def stop(self):
        net.end_process(self.process)


class Postfix:
    """One instance. Use as a context manager."""

    def __init__(self, folder, pair, users=None, more=""):
        self.folder = pathlib.Path(folder)
        self.plain, self.submission = net.free_port(), net.free_port()
        self.dovecot = Dovecot(self.folder / "dovecot", users or {"alice": "sesame"})
        self.mailbox = self.folder / "all"
        self._folders()
        self._configure(pair, more)

    def _folders(self):
        owner = pwd.getpwnam("postfix")
        for name in ("queue", "data", "etc", "all"):
            (self.folder / name).mkdir()
        for name in ("data", "all"):
            os.chown(self.folder / name, owner.pw_uid, owner.pw_gid)

    def _configure(self, pair, more):
        owner = pwd.getpwnam("postfix")
        values = {"folder": self.folder, "daemons": daemon_directory(), "uid": owner.pw_uid,
                  "gid": grp.getgrgid(owner.pw_gid).gr_gid, "certificate": pair.certificate, "key": pair.key,
                  "plain": self.plain, "submission": self.submission, "more": more}
        (self.folder / "any_domain").write_text("/^[^@]+$/ anything\n")
        (self.folder / "any_mailbox").write_text("if !/^unknown/\n/@/ all/\nendif\n")
        (self.folder / "etc" / "main.cf").write_text(once(MAIN.format(**values)))
        (self.folder / "etc" / "master.cf").write_text(MASTER.format(**values))

    def _postfix(self, *words):
        return subprocess.run(["postfix", "-c", str(self.folder / "etc"), *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=60)

    def __enter__(self):
        self.dovecot.start()
        done = self._postfix("start")
        if done.returncode:
            self.dovecot.stop()
            raise RuntimeError(f"postfix start: {done.stdout}{done.stderr}{self.log()}")
        self.master = int((self.folder / "queue" / "pid" / "master.pid").read_text())
        try:
            for port in (self.plain, self.submission):
                net.wait_port(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        self._postfix("stop")
        net.wait_until(lambda: not net.alive(self.master), 20, "Postfix to stop")
        self.dovecot.stop()

    def log(self):
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def messages(self):
        """The delivered messages, as bytes (LF line ends, with the headers that Postfix adds)."""
        return [p.read_bytes() for p in sorted((self.mailbox / "new").glob("*"))]

    def wait_for(self, needle, seconds=20.0):
        """The delivered messages that contain the bytes `needle`; at least one."""
        try:
            return net.wait_until(lambda: [m for m in self.messages() if needle in m], seconds, repr(needle), 0.1)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log()[-3000:]}") from None

    def empty_queue(self):
        """True when nothing waits for delivery."""
        queue = self.folder / "queue"
        return not any(f.is_file() for part in ("incoming", "active", "deferred", "maildrop")
                       for f in (queue / part).rglob("*"))

    def queue_ids(self):
        return re.findall(r"postfix/cleanup\[\d+\]: ([0-9A-Za-z]+): message-id", self.log())


def available():
    """What is missing, as a list of program names."""
    return [name for name in ("postfix", "dovecot", "postconf") if not shutil.which(name)]
