# Sourced by the scripts beside it: the programs, a private libvirtd, and where samples and results go.
# shellcheck shell=bash
#
# A script sets nothing of its own before it sources this. Afterwards there are:
#   $snapward, $tools     the release program; the folder of the C programs, which `tool NAME` builds
#   $dir                  a directory that is removed at the end
#   daemon                starts a private libvirtd: $uri leads to it; `daemon_stop` ends it and its guests
#   sample, result        note a raw sample, or a row of the table
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
snapward=${SNAPWARD:-$target/release/snapward}
tools=$target/bench
# Every raw sample of a run, and the rows that `benches/table` prints.
samples=$tools/samples.tsv
results=$tools/results.tsv
mkdir -p "$tools"

# tool NAME: builds benches/baseline/NAME.c, which shares no code with snapward.
tool() {
    # shellcheck disable=SC2046 # pkg-config prints several flags
    cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$tools/$1" "benches/baseline/$1.c" \
        $(pkg-config --cflags --libs libvirt) -pthread
}

# Directly under /tmp: the path of a socket has 108 bytes.
dir=$(mktemp -d /tmp/swbXXXXXX)
chmod 755 "$dir"
daemon_pid=""
# What else is to be ended; a script adds to it.
helpers=()
cleanup() {
    [ ${#helpers[@]} -eq 0 ] || kill "${helpers[@]}" 2>/dev/null || true
    daemon_stop
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A libvirtd of the session, with everything below $home. One run by root would be the system's, so root makes itself nobody.
daemon() {
    daemon_stop
    home=$dir/libvirt
    rm -rf "$home"
    mkdir -p "$home"/{home,config/libvirt,cache,data,run,images}
    printf 'stdio_handler = "file"\nnamespaces = []\ncgroup_controllers = []\nsecurity_driver = "none"\n' \
        >"$home/config/libvirt/qemu.conf"
    printf 'unix_sock_dir = "%s/run"\nauth_unix_rw = "none"\n' "$home" >"$home/libvirtd.conf"
    as_daemon=()
    if [ "$(id -u)" = 0 ]; then
        chown -R 65534:65534 "$home"
        as_daemon=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    fi
    env HOME="$home/home" XDG_CONFIG_HOME="$home/config" XDG_CACHE_HOME="$home/cache" XDG_DATA_HOME="$home/data" \
        XDG_RUNTIME_DIR="$home/run" "${as_daemon[@]}" libvirtd --config "$home/libvirtd.conf" --pid-file "$home/run/pid" \
        >"$home/libvirtd.log" 2>&1 &
    daemon_pid=$!
    until [ -S "$home/run/libvirt-sock" ]; do
        kill -0 "$daemon_pid" 2>/dev/null || { cat "$home/libvirtd.log" >&2; exit 1; }
        sleep 0.1
    done
    uri="qemu+unix:///session?socket=$home/run/libvirt-sock"
    fleet=0
}
daemon_stop() {
    [ -n "$daemon_pid" ] || return 0
    kill "$daemon_pid" 2>/dev/null || true
    wait "$daemon_pid" 2>/dev/null || true
    daemon_pid=""
    # Its guests live on without it; and asked to end them, it takes two seconds for each.
    local guest
    for guest in "$home"/run/libvirt/qemu/run/*.pid; do
        [ ! -e "$guest" ] || kill -KILL "$(cat "$guest")" 2>/dev/null || true
    done
}

# fleet DOMAINS SNAPSHOTS: that many shut-off domains in snapward's steady state, and the manifest that declares it in
# $manifest. Those that the daemon has from a smaller fleet stay as they are.
fleet() {
    local domains=$1 snapshots=$2 d s
    # One image with all snapshots, small by its small clusters, copied for every domain.
    rm -f "$dir/image.qcow2"
    qemu-img create -q -f qcow2 -o cluster_size=512 "$dir/image.qcow2" 1M
    for ((s = 0; s < snapshots; s++)); do qemu-img snapshot -c "$(printf 's%03d' "$s")" "$dir/image.qcow2"; done
    for ((d = fleet; d < domains; d++)); do cp "$dir/image.qcow2" "$(printf '%s/images/bench-%03d.qcow2' "$home" "$d")"; done
    "$tools/setup" "$uri" "$fleet" "$domains" "$snapshots" "$home/images"
    fleet=$domains
    manifest=$dir/fleet.yaml
    {
        printf 'apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {name: bench}\nspec:\n'
        printf '  domains: {include: ["bench-*"]}\n  snapshots:\n'
        for ((s = 0; s < snapshots; s++)); do
            printf '    - {name: s%03d, description: State %d, capture: {content: full, location: internal}}\n' "$s" "$s"
        done
        printf '  current: s%03d\n' $((snapshots - 1))
    } >"$manifest"
}

median() {
    printf '%s\n' "$@" | sort -n |
        awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
# Milliseconds that a command takes, as a whole process.
took() {
    local start=${EPOCHREALTIME//[!0-9]/}
    "$@" >/dev/null
    local end=${EPOCHREALTIME//[!0-9]/}
    awk -v us=$((end - start)) 'BEGIN { print us / 1000 }'
}

# sample ROW SIZE SIDE MILLISECONDS
sample() { printf '%s\t%s\t%s\t%s\tms\n' "$@" >>"$samples"; }

# result ROW SIZE MEASURED GOAL SIDES: GOAL is "<= 1.05" or ">= 100", or empty where the issue has none for this size.
result() {
    printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$results"
    printf '=> %s (%s): %s%s; %s\n' "$1" "$2" "$3" "${4:+, goal $4}" "$5"
}

# The fastest number of threads of a bare loop: `fastest ROW SIZE COMMAND...`, which takes the threads as its last argument
# and prints "threads N calls C ms M". Sets $threads.
fastest() {
    local row=$1 size=$2 n ms best=""
    shift 2
    for n in 1 2 4 8; do
        ms=$("$@" "$n" | awk '{ print $6 }')
        sample "$row" "$size" "bare, $n threads, to choose" "$ms"
        echo "$row: bare loop, $n threads: $ms ms"
        if [ -z "$best" ] || awk "BEGIN { exit !($ms < $best) }"; then best=$ms threads=$n; fi
    done
}
