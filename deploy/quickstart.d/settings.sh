# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Writes the quickstart's configuration and rules into $state. Sourced by deploy/quickstart, whose variables
# (root, state, listen, listen_tls, upstream, redis) it uses.

store() {
    if [ -n "$redis" ]; then
        echo "{ type: redis, server: \"$redis\", on_error: local }"
    else
        echo "{ type: memory }"
    fi
}

write_settings() {
    mkdir -p "$state/rules"
    cp -u "$root/conf/examples/rules/quickstart.rules" "$state/rules/" || exit 1
    cat >"$state/postern.yaml" <<END
# Written by deploy/quickstart at each start. To keep your own, copy it and start build/postern -c COPY.
workers: 2
log: { format: logfmt, to: stderr }
plugins: { path: "$root/build/plugins" }

certificates:
  main: { certificate: cert.pem, key: key.pem }

listeners:
  submission:
    bind: ["$listen"]
    tls: starttls
    certificate: main
    upstream: mta
    policy: quickstart
  submissions:
    bind: ["$listen_tls"]
    tls: implicit
    certificate: main
    upstream: mta
    policy: quickstart

upstreams:
  mta:
    servers: ["$upstream"]
    tls: opportunistic
    verify: false

policies:
  quickstart: { filters: [limits, content] }

filters:
  limits:
    plugin: ratelimit
    store: $(store)
    limits:
      per-sender: { key: [sender], count: messages, rate: 10/1m, burst: 10 }
  content:
    plugin: content
    rules: ["rules/*.rules"]
END
}
