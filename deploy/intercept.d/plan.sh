# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154,SC2034,SC2015
# From the options to what has to be done: the filled-in rules, and the steps beside them. Sourced by
# deploy/intercept, whose variables (mode, place, interface, …) it uses; changes nothing.

# ---- are the options possible ----

check_options() {
    case $mode in redirect | tproxy) ;; *) wrong "--mode is redirect or tproxy, not '$mode'" ;; esac
    case $place in host | router | bridge) ;; *) wrong "--place is host, router or bridge, not '$place'" ;; esac
    check_port "$to" || wrong "--to wants a port, not '$to'"
    local port
    for port in ${ports//,/ }; do
        check_port "$port" || wrong "--ports wants ports, not '$port'"
    done
    [[ $table =~ ^[1-9][0-9]{0,8}$ ]] || wrong "--table wants a number, not '$table'"
    [[ $mark =~ ^0x[0-9a-fA-F]{1,8}$ ]] && ((mark != 0 && (mark & (mark - 1)) == 0)) ||
        wrong "--mark wants one bit, as 0x2000000, not '$mark'"
    printf -v mark 0x%x "$mark" # as ip prints it
    [[ ${seconds:-1} =~ ^[1-9][0-9]{0,4}$ ]] || wrong "--for wants seconds, not '$seconds'"
    check_networks --clients "$clients"
    check_networks --except "$except"
    check_place
    told="--mode $mode --place $place --ports $ports --to $to${interface:+ --interface $interface}"
    told+="${clients:+ --clients $clients}${except:+ --except $except}"
}

check_port() {
    [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 <= 65535))
}

check_networks() {
    local network
    for network in ${2//,/ }; do
        [[ $network =~ ^[0-9a-fA-F.:]+(/[0-9]{1,3})?$ ]] || wrong "$1 wants networks, as 192.0.2.0/24 or 2001:db8::/32," \
            "not '$network'"
    done
}

check_place() {
    if [ "$place" = host ]; then
        [ -z "$interface$clients" ] || wrong "--interface and --clients are for --place router and bridge"
        uid=$(id -u -- "$user" 2>/dev/null) || fail "there is no user '$user'; --user wants the one of postern's workers"
        return
    fi
    [ -n "$interface" ] || wrong "--place $place wants --interface"
    local name
    for name in ${interface//,/ }; do
        ip link show dev "$name" >/dev/null 2>&1 || fail "there is no interface '$name' (ip link shows them)"
    done
    [ "$place" = router ] || check_bridge
}

check_bridge() {
    case $interface in *,*) wrong "--place bridge wants one bridge" ;; esac
    bridge_mac=$(ip -o link show dev "$interface" type bridge | sed -n 's,^.*link/ether \([^ ]*\).*$,\1,p')
    [ -n "$bridge_mac" ] || fail "$interface is no bridge (ip link show type bridge shows them)"
    members=$(ip -o link show master "$interface" | sed 's/^[0-9]*: \([^:@]*\).*$/\1/' | paste -sd,)
    [ -n "$members" ] || fail "the bridge $interface has no ports (ip link set IFACE master $interface)"
}

# ---- the rules: the file of this mode and place, with its "define" lines filled in ----

fill_in() {
    local file=$root/nftables/$mode-$place.nft text
    text=$(cat "$file") || return 1
    set_value PORTS "{ ${ports//,/, } }"
    set_value LISTENER "$to"
    set_value EXCEPT4 "$(networks 4 "$except")"
    set_value EXCEPT6 "$(networks 6 "$except")"
    [ "$mode" = redirect ] || set_value MARK "$mark"
    if [ "$place" = host ]; then
        set_value WORKERS "$uid"
    else
        set_value CLIENTS4 "$(networks 4 "${clients:-0.0.0.0/0}")"
        set_value CLIENTS6 "$(networks 6 "${clients:-::/0}")"
    fi
    [ "$place" != router ] || set_value INSIDE "{ \"${interface//,/\", \"}\" }"
    if [ "$place" = bridge ]; then
        set_value BRIDGE "\"$interface\""
        set_value BRIDGE_MAC "$bridge_mac"
        set_value MEMBERS "{ \"${members//,/\", \"}\" }"
    fi
    echo "$text"
}

set_value() { # NAME VALUE, in $text
    local line
    line=$(grep -m1 "^define $1 = " <<<"$text") || fail "$file has no line 'define $1 ='"
    text=${text/"$line"/"define $1 = $2"}
}

networks() { # FAMILY LIST: those of the family, as a set
    local network family found=''
    for network in ${2//,/ }; do
        case $network in
        *:*) family=6 ;;
        *) family=4 ;;
        esac
        [ "$family" != "$1" ] || found+="${found:+, }$network"
    done
    echo "{ $found }"
}

# ---- the steps beside them ----

make_plan() {
    steps=()
    [ "$mode" = redirect ] || plan_tproxy
    [ "$place" != bridge ] || steps+=("table bridge")
    steps+=("table inet")
}

plan_tproxy() {
    if [ "$place" = bridge ]; then
        plan_setting net/bridge/bridge-nf-call-iptables 0
        plan_setting net/bridge/bridge-nf-call-ip6tables 0
    fi
    if [ "$place" != host ]; then # there it would be asked of nobody
        local file
        for file in /proc/sys/net/ipv4/conf/*/src_valid_mark; do
            plan_setting "${file#/proc/sys/}" 0
        done
    fi
    local family
    for family in 4 6; do
        [ $family = 4 ] || [ -e /proc/net/if_inet6 ] || continue
        plan_line "route $family local default dev lo table $table"
        plan_line "rule $family priority 100 fwmark $mark/$mark lookup $table"
    done
}

# A setting that has another value now, or had one when it was remembered.
plan_setting() { # FILE VALUE
    local now
    now=$(cat "/proc/sys/$1" 2>/dev/null) || return
    if [ "$now" != "$2" ] || journal_has "sysctl $1 x $2"; then
        steps+=("sysctl $1 $now $2")
    fi
}

plan_line() {
    journal_has "$1" || case $1 in
    route*)
        [ -z "$(ip "-$family" route show table "$table" 2>/dev/null)" ] ||
        fail "route table $table has routes of somebody else's: choose another with --table" ;;
    esac
    steps+=("$1")
}

# ---- what is allowed but will not work ----

look_for_trouble() {
    local bound
    bound=$(ss -Htln "sport = :$to" | awk '{ print $4 }')
    if [ -z "$bound" ]; then
        warn "nobody listens on port $to: mail to ports $ports is refused until postern does"
    elif [ "$place" != host ] && ! grep -qE '^(\*|0\.0\.0\.0|\[::\])(%[^:]*)?:' <<<"$bound"; then
        warn "port $to listens on $(paste -sd' ' <<<"$bound") only: here postern has to bind 0.0.0.0 and [::]"
    fi
    [ "$place" = host ] || look_at_addresses
    if [ "$place" = router ] && [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]; then
        warn "net.ipv4.ip_forward is 0: this host is no router, and nothing else than mail will pass it"
    fi
}

look_at_addresses() {
    local name
    for name in ${interface//,/ }; do
        [ "$place-$mode" != router-tproxy ] || continue # it needs none
        [ -n "$(ip -4 -o addr show dev "$name" scope global)" ] ||
            warn "$name has no IPv4 address: mail over IPv4 cannot be taken from there"
        [ -n "$(ip -6 -o addr show dev "$name" scope global)" ] ||
            warn "$name has no IPv6 address: mail over IPv6 cannot be taken from there"
    done
}
