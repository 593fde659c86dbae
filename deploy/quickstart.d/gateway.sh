# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The demonstration of a gateway: three hosts, each a network namespace of its own, postern on the one in the middle.
# Sourced by deploy/quickstart, whose variables and functions (root, state, fail, wait_for, stop) it uses. Nothing outside
# the namespaces is touched, and they are gone at the end, however it comes.

client=postern-$$-client gateway=postern-$$-gateway server=postern-$$-server
mail='' # the server's folder
mail_log='' server_pid='' server_name=''

# Not for what goes on in the background, whose pid would be that of a shell.
on() { # HOST COMMAND…
    ip netns exec "$@"
}

# Two hosts and a router between them. Addresses can be used at once: nobody else can have them here.
lay_network() {
    local name
    for name in "$client" "$gateway" "$server"; do
        ip netns add "$name" || fail "no network namespace can be made here: it needs root, also of a container's host"
        on "$name" sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.disable_ipv6=0 ||
            fail "this kernel has no IPv6"
        on "$name" ip link set lo up
    done
    {
        join "$client" inner 192.0.2.2 192.0.2.1 2001:db8:1::2 2001:db8:1::1 &&
            join "$server" outer 198.51.100.2 198.51.100.1 2001:db8:2::2 2001:db8:2::1 &&
            on "$gateway" sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    } || fail "the network of the demonstration could not be made"
}

join() { # HOST INTERFACE-OF-THE-GATEWAY ADDRESS GATEWAY ADDRESS6 GATEWAY6
    ip -n "$1" link add eth0 type veth peer name "$2" netns "$gateway" &&
        ip -n "$gateway" addr add "$4/24" dev "$2" && ip -n "$gateway" addr add "$6/64" dev "$2" nodad &&
        ip -n "$gateway" link set "$2" up &&
        ip -n "$1" addr add "$3/24" dev eth0 && ip -n "$1" addr add "$5/64" dev eth0 nodad &&
        ip -n "$1" link set eth0 up &&
        ip -n "$1" route add default via "$4" && ip -n "$1" -6 route add default via "$6"
}

show_network() {
    cat <<END

Three hosts, each a network namespace:

    client                     gateway, with postern                  server, with $server_name
    192.0.2.2      -------  192.0.2.1      198.51.100.1   -------  198.51.100.2
    2001:db8:1::2           2001:db8:1::1  2001:db8:2::1           2001:db8:2::2

The client sends to the server's port 25 and knows of nothing else.

END
}

# ---- the mail server ----

start_server() {
    mail=$(mktemp -d "/tmp/postern-gateway-$$-XXXXXX") && chmod 755 "$mail" || fail "no folder for the mail server"
    mail_log=$mail/mail.log
    if command -v postfix >/dev/null; then
        start_postfix
    else
        start_its_sink
    fi
}

# A Postfix of the demonstration's own. It delivers whatever it is sent to one maildir, and leaves the system's alone.
start_postfix() {
    local uid gid daemons
    server_name=Postfix
    uid=$(id -u postfix) gid=$(id -g postfix) daemons=$(postconf -dh daemon_directory)
    mkdir "$mail/etc" "$mail/queue" "$mail/data" "$mail/new" && chown postfix: "$mail/data" "$mail/new"
    echo '/^[^@]+$/ anything' >"$mail/domains"
    echo '/@/ new/' >"$mail/mailboxes"
    cat >"$mail/etc/main.cf" <<END
compatibility_level = 3.6
queue_directory = $mail/queue
data_directory = $mail/data
daemon_directory = $daemons
mail_owner = postfix
setgid_group = postdrop
maillog_file = $mail_log
maillog_file_prefixes = $mail
myhostname = mail.example.net
mydestination =
mynetworks =
inet_interfaces = all
inet_protocols = all
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_auth_destination, reject
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = regexp:$mail/domains
virtual_mailbox_base = $mail
virtual_mailbox_maps = regexp:$mail/mailboxes
virtual_uid_maps = static:$uid
virtual_gid_maps = static:$gid
END
    cat >"$mail/etc/master.cf" <<'END'
smtp inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
END
    on "$server" postfix -c "$mail/etc" start >"$state/server.out" 2>&1 ||
        { cat "$state/server.out" "$mail_log" >&2; fail "Postfix did not start"; }
    server_pid=$(tr -d ' ' <"$mail/queue/pid/master.pid")
    wait_for server "$server_pid" on "$server" python3 "$root/deploy/quickstart.d/port.py" --accepts 198.51.100.2:25
}

start_its_sink() {
    server_name="the bundled sink (there is no Postfix)"
    mkdir "$mail/new"
    ip netns exec "$server" python3 "$root/tests/support/sink.py" --host '' --port 25 --folder "$mail/new" --announce >"$mail_log" 2>&1 &
    server_pid=$!
    wait_for server "$server_pid" grep -q '^sink: ' "$mail_log"
}

stop_server() {
    if [ -d "$mail/etc" ]; then
        on "$server" postfix -c "$mail/etc" stop >/dev/null 2>&1
        local i
        for ((i = 0; i < 100; i++)); do
            kill -0 "$server_pid" 2>/dev/null || break
            sleep 0.1
        done
    else
        stop TERM "$server_pid"
    fi
}

# ---- the gateway ----

write_gateway_settings() {
    mkdir -p "$state/rules"
    cp -u "$root/conf/examples/rules/quickstart.rules" "$state/rules/" || exit 1
    cat >"$state/gateway.yaml" <<END
# Written by deploy/quickstart --intercept at each start. conf/examples/gateway.yaml is a policy to begin with.
workers: 2
log: { format: logfmt, to: stderr }
plugins: { path: "$root/build/plugins" }

listeners:
  gateway:
    bind: ["0.0.0.0:2526", "[::]:2526"]
    intercept: tproxy
    source: client
    policy: quickstart

policies:
  quickstart: { filters: [content] }

filters:
  content:
    plugin: content
    rules: ["rules/*.rules"]
END
}

start_gateway() {
    write_gateway_settings
    ip netns exec "$gateway" "$root/build/postern" -c "$state/gateway.yaml" 2>"$state/postern.log" &
    postern_pid=$!
    wait_for postern "$postern_pid" grep -q '^postern: ready$' "$state/postern.log"
    intercepting=yes
    local words=(up --mode tproxy --place router --interface inner)
    echo "On the gateway: deploy/intercept ${words[*]}"
    on "$gateway" "$root/deploy/intercept" "${words[@]}" 2>&1 | sed 's/^/    /'
    [ "${PIPESTATUS[0]}" = 0 ] || fail "deploy/intercept could not do it"
    echo
}

intercepting=''

take_network_away() {
    [ -z "$intercepting" ] || on "$gateway" "$root/deploy/intercept" down >/dev/null
    stop TERM "$postern_pid" # not INT: a process in the background ignores it until it says otherwise
    postern_pid=
    [ -z "$server_pid" ] || stop_server
    [ ! -e "$mail_log" ] || cp "$mail_log" "$state/server.log"
    [ -z "$mail" ] || rm -rf "$mail"
    local name
    for name in "$client" "$gateway" "$server"; do
        [ ! -e "/run/netns/$name" ] || ip netns del "$name"
    done
}

intercept_demo() {
    trap 'trap "" INT TERM HUP; take_network_away' EXIT
    install_missing iproute2 nftables procps util-linux || fail "packages could not be installed"
    command -v postfix >/dev/null || install_missing postfix || echo "Going on without Postfix"
    lay_network
    start_server
    show_network
    start_gateway
    on "$client" python3 "$root/deploy/quickstart.d/gateway.py" "$state" "$mail_log" "$mail/new"
}
