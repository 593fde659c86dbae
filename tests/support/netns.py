# SPDX-License-Identifier: MIT
"""Networks of the test's own. Both need root, iproute2 and nftables, and are gone with the process at the latest.

One namespace with nothing but loopback, addresses on it, and nftables rules. This thread and all that it starts
meanwhile (threads, processes) are in it:

    with Network(addresses=("192.0.2.9", "2001:db8::9")) as net:
        net.redirect(2526, "tcp dport 25")

Three hosts in a row, each a namespace; what is started inside `on` is on that host, sockets stay where they were made:

    client [eth0] --- [inner] router [outer] --- [eth0] server        two networks, the router forwards
    client [eth0] --- [inner  bridge  outer] --- [eth0] server        one network (bridge=True), the bridge is "br0"

    with Hosts() as hosts:
        with hosts.on("server"):
            …
        hosts.run("router", "nft", "list", "ruleset")
"""
import contextlib
import ctypes
import os
import pathlib
import pwd
import re
import socket
import struct
import subprocess

CLONE_NEWNET = 0x40000000
WORKERS = pwd.getpwnam("nobody").pw_uid
LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def run(*words, text=None):
    done = subprocess.run(words, input=text, text=True, check=False, capture_output=True, timeout=20)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}{done.stdout}")
    return done.stdout


def _here():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace):
    _check(LIBC.setns(namespace, CLONE_NEWNET), "into a network namespace")


def _without_waiting_for_addresses():
    """An IPv6 address can be used at once: there is nobody here who could have it too."""
    for which in ("all", "default"):
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{which}/accept_dad").write_text("0")


class Network:
    def __init__(self, addresses=()):
        self.addresses = addresses

    def __enter__(self):
        self.home = _here()
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
        _enter(self.home)
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


def forget_connections():
    """Connection tracking loses all that it knows in this namespace, as by `conntrack -F`."""
    delete, request_ack, netfilter = 1 << 8 | 2, 1 | 4, 12
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter) as s:
        s.settimeout(10)
        s.send(struct.pack("=IHHII4x", 20, delete, request_ack, 1, 0))
        _, _, _, _, _, error = struct.unpack_from("=IHHIIi", s.recv(1000))
    if error:
        raise OSError(-error, os.strerror(-error))


SETTINGS = re.compile(r"^/proc/sys/net/(?:ipv4|ipv6)/conf/|/bridge/|/ip_forward$|nonlocal_bind$")


class Hosts:
    """Addresses: client[4], client[6], router[…] (as the client sees it), outer[…] (as the server sees it), server[…]."""

    ROUTED = {"client": ("192.0.2.2", "2001:db8:1::2"), "router": ("192.0.2.1", "2001:db8:1::1"),
              "outer": ("198.51.100.1", "2001:db8:2::1"), "server": ("198.51.100.2", "2001:db8:2::2")}
    BRIDGED = {"client": ("192.0.2.2", "2001:db8:1::2"), "router": ("192.0.2.1", "2001:db8:1::1"),
               "outer": ("192.0.2.1", "2001:db8:1::1"), "server": ("192.0.2.3", "2001:db8:1::3")}

    def __init__(self, bridge=False):
        self.bridge = bridge
        self.addresses = self.BRIDGED if bridge else self.ROUTED
        self.namespaces = {}
        self.inside = "br0" if bridge else "inner"
        for name, (four, six) in self.addresses.items():
            setattr(self, name, {4: four, 6: six})

    # ---- life ----

    def __enter__(self):
        self.home = _here()
        try:
            for name in ("client", "router", "server"):
                _check(LIBC.unshare(CLONE_NEWNET), "a network namespace")
                self.namespaces[name] = _here()
                _without_waiting_for_addresses()
                run("ip", "link", "set", "lo", "up")
            self._build()
        except BaseException:
            self.__exit__()
            raise
        _enter(self.home)
        return self

    def __exit__(self, *_exc):
        _enter(self.home)
        for fd in (*self.namespaces.values(), self.home):
            os.close(fd)
        self.namespaces.clear()

    def _build(self):
        """The links, then what is on them."""
        for name, end in (("client", "inner"), ("server", "outer")):
            there = f"/proc/{os.getpid()}/fd/{self.namespaces['router']}"
            self.ip(name, f"link add eth0 type veth peer name {end} netns {there}", "link set eth0 up")
            self.ip("router", f"link set {end} up")
        if self.bridge:
            self.ip("router", "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up",
                    "link set inner master br0", "link set outer master br0")
            self._address("router", "br0", "router")
        else:
            self._address("router", "inner", "router")
            self._address("router", "outer", "outer")
            self.setting("router", "ipv4/ip_forward", 1)
            self.setting("router", "ipv6/conf/all/forwarding", 1)
        for name, gateway in (("client", "router"), ("server", "outer")):
            self._address(name, "eth0", name)
            if not self.bridge:
                self.ip(name, *(f"-{f} route add default via {self.addresses[gateway][f == 6]}" for f in (4, 6)))

    def _address(self, host, device, whose):
        four, six = self.addresses[whose]
        self.ip(host, f"addr add {four}/24 dev {device}", f"addr add {six}/64 dev {device} nodad")

    # ---- on one of them ----

    @contextlib.contextmanager
    def on(self, name):
        before = _here()
        _enter(self.namespaces[name])
        try:
            yield
        finally:
            _enter(before)
            os.close(before)

    def run(self, name, *words, text=None):
        """What the command says; fails when it does."""
        with self.on(name):
            return run(*words, text=text)

    def ip(self, name, *commands):
        for command in commands:
            self.run(name, "ip", *command.split())

    def setting(self, name, path, value):
        with self.on(name):
            pathlib.Path("/proc/sys/net", path).write_text(str(value))

    def cut(self, name, *matches):
        """From now on that host neither gets nor sends what matches (without any: everything), and nobody is told."""
        rules = "\n".join(f"{match} drop" for match in matches or ("meta mark >= 0",))
        self.run(name, "nft", "-f", "-", text=f"""
            table inet cut {{
                chain input {{ type filter hook input priority -400; {rules}
                }}
                chain output {{ type filter hook output priority -400; {rules}
                }}
            }}""")

    def state(self, name):
        """All that decides where packets go there: rules of nft and ip, routes, settings."""
        shown = [self.run(name, *words.split()) for words in
                 ("nft list ruleset", "ip -4 rule", "ip -6 rule", "ip -4 route show table all",
                  "ip -6 route show table all")]
        with self.on(name):
            for path in sorted(pathlib.Path("/proc/sys/net").rglob("*")):
                if path.is_file() and SETTINGS.search(str(path)) and os.access(path, os.R_OK):
                    with contextlib.suppress(OSError):
                        shown.append(f"{path} {path.read_text()}")
        return "\n".join(shown)
