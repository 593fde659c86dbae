# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154,SC2034,SC2015
# What was done is written down before it is done, a line for each step, and taken back from the last line to the
# first. Sourced by deploy/intercept. One journal for each network namespace. It is gone with the next boot, as all
# that it names; one of a namespace that is gone, whose number another has got, names nothing that stands.
#
#   # --mode tproxy …                    what up was told
#   sysctl net/ipv4/x OLD NEW
#   route 4 local default dev lo table 2526
#   rule 4 priority 100 fwmark 0x2000000/0x2000000 lookup 2526
#   table inet

journals=${POSTERN_RUN:-/run/postern}/intercept
journal=$journals/$(stat -Lc %i /proc/self/ns/net)

lock() {
    [ -n "$dry" ] && return
    mkdir -p "$journals" || fail "cannot make $journals"
    exec 9>"$journal.lock"
    flock 9 || fail "cannot lock $journal.lock"
    is_up || rm -f "$journal"
}

# Whether anything that up made is there still. A rule alone may be somebody else's.
is_up() {
    local line
    [ -e "$journal" ] || return 1
    while read -r line; do
        [[ $line = table* || $line = route* ]] && step_stands "$line" && return
    done < <(journal_steps)
    return 1
}

unlock() {
    exec 9>&-
}

# step STEP add|del: does it or takes it back; `show` before it prints the command instead. nft does the tables: adding
# them is loading the rules.
step() {
    local words show=''
    if [ "$1" = show ]; then
        show=yes
        shift
    fi
    read -ra words <<<"$1"
    case ${words[0]} in
    sysctl) # NAME OLD NEW
        local value=${words[3]}
        [ "$2" = add ] || value=${words[2]}
        if [ -n "$show" ]; then
            echo "sysctl -w ${words[1]}=$value"
        else
            echo "$value" >"/proc/sys/${words[1]}"
        fi ;;
    table) [ "$2" = add ] || ${show:+echo} nft delete table "${words[1]}" postern_intercept ;;
    *) ${show:+echo} ip "-${words[1]}" "${words[0]}" "$2" "${words[@]:2}" ;;
    esac
}

# Whether it is in force now.
step_stands() { # STEP
    local words
    read -ra words <<<"$1"
    case ${words[0]} in
    sysctl) [ "$(cat "/proc/sys/${words[1]}" 2>/dev/null)" = "${words[3]}" ] ;;
    table) nft list table "${words[1]}" postern_intercept >/dev/null 2>&1 ;;
    route) [ -n "$(ip "-${words[1]}" route show table "${words[-1]}" type local 2>/dev/null)" ] ;;
    rule) ip "-${words[1]}" rule show 2>/dev/null | grep -q "^${words[3]}:.* fwmark ${words[5]} lookup ${words[7]}" ;;
    esac
}

journal_steps() {
    [ ! -e "$journal" ] || grep -v '^#' "$journal"
}

journal_has() { # STEP, of which a sysctl's old value does not count: the first one that was remembered is the true one
    local line
    while read -r line; do
        [ "$(without_old "$line")" = "$(without_old "$1")" ] && return
    done < <(journal_steps)
    return 1
}

without_old() {
    local words
    read -ra words <<<"$1"
    [ "${words[0]}" != sysctl ] || unset 'words[2]'
    echo "${words[*]}"
}

# Takes one step back. What is not there any more, or has another value than ours, somebody else has seen to.
undo_step() {
    step_stands "$1" || return 0
    step "$1" del || { echo "intercept: could not take back: $1" >&2; return 1; }
}

undo_steps() { # from the last to the first
    local i good=0
    for ((i = $#; i > 0; i--)); do
        undo_step "${!i}" || good=1
    done
    return $good
}

undo_all() {
    local lines
    mapfile -t lines < <(journal_steps)
    undo_steps "${lines[@]}" && rm -f "$journal"
}

undo_commands() {
    local line
    journal_steps | tac | while read -r line; do
        step show "$line" del
    done
}

# Does all of $steps, then loads $rules, which takes the place of earlier ones at once; takes back what only an
# earlier up had wanted. A failure takes back what was done here, and leaves what stood before.
carry_out() {
    local line before=() done_here=() said_before=''
    mapfile -t before < <(journal_steps)
    [ ! -e "$journal" ] || said_before=$(cat "$journal")
    trap 'give_up; exit 130' INT TERM HUP
    [ -e "$journal" ] || : >"$journal" || return 1
    for line in "${steps[@]}"; do
        case $line in table\ *) continue ;; esac # loading the rules makes them, all at once
        if journal_has "$line" && step_stands "$line"; then
            continue
        fi
        echo "$line" >>"$journal"
        step "$line" add || { give_up; return 1; }
        done_here+=("$line")
    done
    nft -f - <<<"$rules" || { give_up; return 1; }
    trap '' INT TERM HUP
    undo_steps_not_wanted
    write_journal
    trap - INT TERM HUP
}

give_up() {
    trap '' INT TERM HUP
    echo "intercept: taking back what was done" >&2
    undo_steps "${done_here[@]}"
    if [ -n "$said_before" ]; then
        write_lines "$said_before"
    else
        rm -f "$journal"
    fi
    trap - INT TERM HUP
}

undo_steps_not_wanted() {
    local line new wanted
    for line in "${before[@]}"; do
        wanted=
        for new in "${steps[@]}"; do
            [ "$(without_old "$line")" = "$(without_old "$new")" ] && wanted=yes
        done
        [ -n "$wanted" ] || undo_step "$line"
    done
}

# The steps of now, each as it was first written down.
write_journal() {
    local new line lines=()
    for new in "${steps[@]}"; do
        for line in "${before[@]}"; do
            [ "$(without_old "$line")" = "$(without_old "$new")" ] && new=$line
        done
        lines+=("$new")
    done
    write_lines "# $told" "${lines[@]}"
}

write_lines() {
    printf '%s\n' "$@" >"$journal.new" && mv "$journal.new" "$journal"
}

# Says what of the journal is not in force any more; fails if there is anything.
lost() {
    local line good=0
    while read -r line; do
        step_stands "$line" && continue
        say "gone, somebody has taken it away: $line"
        good=1
    done < <(journal_steps)
    [ $good = 0 ] || say "say up again to have it back, or down to be rid of the rest"
    return $good
}
