# SPDX-License-Identifier: MIT
"""A network of the test's own: a namespace with nothing but loopback, addresses on it, and nftables rules.

    with Network(addresses=("192.0.2.9", "2001:db8::9")) as net:
        net.redirect(2526, "tcp dport 25")

This thread and all that it starts meanwhile (threads, processes) are in it. Needs root, iproute2 and nftables.
"""
import ctypes
import os
import pwd
import subprocess

CLONE_NEWNET = 0x40000000
WORKERS = pwd.getpwnam("nobody").pw_uid
LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def run(*words, text=None):
    subprocess.run(words, input=text, text=True, check=True, capture_output=True, timeout=20)


class Network:
    def __init__(self, addresses=()):
        self.addresses = addresses

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(LIBC.unshare(CLONE_NEWNET), "a network namespace")
        try:
            run("ip", "link", "set", "lo", "up")
            for address in self.addresses:
                self.add(address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        _check(LIBC.setns(self.home, CLONE_NEWNET), "the way back to the first network namespace")
        os.close(self.home)

    def add(self, address):
        run("ip", "address", "add", address + ("/128" if ":" in address else "/32"), "dev", "lo",
            *(["nodad"] if ":" in address else []))

    def redirect(self, port, *matches, exempt=True):
        """Connections that match go to `port` of this host, but for those of postern's workers."""
        own = f"meta skuid {WORKERS} accept" if exempt else ""
        rules = "\n".join(f"{match} redirect to :{port}" for match in matches)
        run("nft", "-f", "-", text=f"""
            table inet intercept
            delete table inet intercept
            table inet intercept {{
                chain output {{
                    type nat hook output priority -100; policy accept;
                    {own}
                    {rules}
                }}
            }}""")

    def tproxy(self, port, *matches, exempt=True):
        """The same by TPROXY: on loopback every packet passes prerouting, with the mark that its sender gave it. The
        listener's addresses are said, since without them the kernel takes any of the interface's."""
        own = f"meta skuid {WORKERS} meta mark set 2" if exempt else ""
        rules = "\n".join(f"{match} meta mark != 2 tproxy {to}:{port} accept"
                          for match in matches for to in ("ip to 127.0.0.1", "ip6 to [::1]"))
        run("nft", "-f", "-", text=f"""
            table inet intercept
            delete table inet intercept
            table inet intercept {{
                chain output {{
                    type route hook output priority mangle; policy accept;
                    {own}
                }}
                chain prerouting {{
                    type filter hook prerouting priority mangle; policy accept;
                    {rules}
                }}
            }}""")

    def forget_rules(self):
        run("nft", "delete", "table", "inet", "intercept")
