#!/bin/sh
# Speed and size as ratios, medians of one run on one machine, so that the
# machine falls out: `make bench`. Peers: ctr, built from the same containerd
# module, on the same engine; docker's client where it is installed.
set -eu
cd "$(dirname "$0")/.."
NSH=$PWD/bin/nsh CTR=$PWD/libexec/ctr
RUNS=${RUNS:-20}
dir=$(mktemp -d)
export NSH_ROOT="$dir/engine"
export HOME="$dir" NERDCTL_TOML="$dir/nerdctl.toml"
echo "data_root = \"$dir/data\"" >"$NERDCTL_TOML"
out=$dir/out.json
trap '$NSH rm -f $($NSH ps -aq) >/dev/null 2>&1 || true; $NSH engine stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT INT TERM

"$NSH" engine start >/dev/null
sock=$("$NSH" engine status --format '{{.Address}}')
"$NSH" -c 'image.assemble("bench:1", files = {"/bin/busybox": "/bin/busybox", "/bin/true": "/bin/busybox", "/bin/sleep": "/bin/busybox"}, cmd = ["true"])' >/dev/null
image=docker.io/library/bench:1

# median NAME COMMAND: milliseconds, by hyperfine without a shell in between
median() { hyperfine -N --warmup 3 --runs "$RUNS" --export-json "$out" "$1" >/dev/null 2>&1; sed -n 's/.*"median": \([0-9.e-]*\).*/\1/p' "$out" | head -1; }
# fastest is for what only computes: all that the machine adds is noise
fastest() { hyperfine -N --warmup 1 --runs 10 --export-json "$out" "$1" >/dev/null 2>&1; sed -n 's/.*"min": \([0-9.e-]*\).*/\1/p' "$out" | head -1; }
row() { awk -v n="$1" -v a="$2" -v b="$3" -v bound="$4" 'BEGIN { r = a / b; printf "%-48s %8.1f ms %8.1f ms   %5.2f  (bound %s) %s\n", n, a * 1000, b * 1000, r, bound, r <= bound ? "ok" : "MISSED" }'; }

printf '%-48s %11s %11s   %s\n' "measure" "nsh" "peer" "ratio"
if command -v docker >/dev/null; then
	row "nsh --version / docker --version" "$(median "$NSH --version")" "$(median "docker --version")" 0.6
fi
row "nsh -c 1+1 / nsh --version" "$(median "$NSH -c 1+1")" "$(median "$NSH --version")" 1.2
cat >"$dir/loop.star" <<'STAR'
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def loop():
    total, words = 0, {}
    for i in range(1000000):
        total += i * i % 7
        words[i % 1000] = total
    return fib(24) + total

print(loop())
STAR
row "loops in Starlark / starlark-go's own command" "$(fastest "$NSH $dir/loop.star")" "$(fastest ".cache/starlark -recursion $dir/loop.star")" 1.1
"$NSH" -c 't0 = time.now(); parallel(lambda x: x, range(200)); print("parallel, 200 items that do nothing:               %s (bound 20ms)" % (time.now() - t0))'
for i in $(seq 20); do "$NSH" run -d --network none --name "bench$i" bench:1 sleep 600 >/dev/null; done
row "nsh ps / ctr containers ls, 20 containers" "$(median "$NSH ps")" "$(median "$CTR -a $sock containers ls")" 1.2
echo "resident beside the shim, one container: $(for p in $(pgrep -f "nsh-helper log $dir"); do awk '/VmRSS/ {print $2}' "/proc/$p/status"; done | sort -n | tail -1) kB (bound 5120)"
"$NSH" rm -f $("$NSH" ps -aq) >/dev/null
ctrrun="$CTR -a $sock run --rm $image bench-ctr /bin/true"
base=$(median "$ctrrun")
row "nsh run --rm --network none / ctr run --rm" "$(median "$NSH run --rm --network none bench:1 true")" "$base" 1.2
row "the same / ctr run --rm --seccomp, as nsh has it" "$(median "$NSH run --rm --network none bench:1 true")" "$(median "$CTR -a $sock run --rm --seccomp $image bench-ctr /bin/true")" 1.2
row "nsh run --rm, default bridge / ctr run --rm" "$(median "$NSH run --rm bench:1 true")" "$base" 3.0
cat >"$dir/fifty.star" <<'STAR'
def one(i):
    run("bench:1", "true", rm = True, network = "none", name = "fifty%d" % i)

parallel(one, range(50), limit = 8)
STAR
printf 'for i in $(seq 50); do %s -a %s run --rm %s ctr$i /bin/true; done\n' "$CTR" "$sock" "$image" >"$dir/fifty.sh"
RUNS=3
row "50 containers, parallel / 50 ctr run, serial" "$(median "$NSH $dir/fifty.star")" "$(median "sh $dir/fifty.sh")" 0.5

# What somebody at the prompt sees, with 500 containers.
cat >"$dir/many.star" <<'STAR'
parallel(lambda i: create("bench:1", name = "c%d" % i, network = "none"), range(500), limit = 8)
STAR
"$NSH" "$dir/many.star" >/dev/null
.cache/ptybench "$NSH"
