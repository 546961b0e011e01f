# Shared by the scripts beside it, which source it: a temporary folder on a real disk, replicas that end with the script, figures as lines of JSON.
# It ends only processes that it started, by their ids, and waits for nothing without a bound.
# shellcheck shell=bash

say() { printf '%s  %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Some of these are for the scripts that source this.
# shellcheck disable=SC2034
folio=${FOLIO:-$root/target/release/folio}
folder=""
replica_processes=()
cleaners=()

# Runs what `at_end` was given, in reverse, then stops replicas and removes the folder.
finish() {
  local place
  for ((place = ${#cleaners[@]} - 1; place >= 0; place--)); do "${cleaners[place]}" || true; done
  stop_replicas || true
  [ -z "$folder" ] || rm -rf "$folder"
}
at_end() { cleaners+=("$1"); }

# Installs a package of Debian, if this user may.
install_package() {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 0
  say "installing $1"
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" >&2
}

need() {
  local tool=$1 package=$2
  command -v "$tool" >/dev/null 2>&1 || install_package "$package"
  command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing: apt-get install $package"
}

need_folio() {
  [ -x "$folio" ] || fail "$folio is not there: cargo build --release (or name another with FOLIO=)"
}

# A temporary folder under $1 that is on a disk: what is synced into memory proves nothing.
make_folder() {
  local under=$1 kind
  [ -d "$under" ] || fail "$under is no folder"
  kind=$(stat -f -c %T "$under")
  case $kind in
    tmpfs | ramfs) fail "$under is in memory ($kind); name a folder on a disk with --folder" ;;
  esac
  folder=$(mktemp -d "$under/folio-bench.XXXXXX")
  chmod 755 "$folder"
  trap finish EXIT
  trap 'exit 130' INT TERM
}

# The first of $1 ports in a row on loopback on which nobody listens.
free_ports() {
  local count=$1 try base number
  for try in $(seq 1 50); do
    base=$((20000 + RANDOM % 10000))
    for ((number = 0; number < count; number++)); do
      if (exec 3<>"/dev/tcp/127.0.0.1/$((base + number))") 2>/dev/null; then continue 2; fi
    done
    echo "$base"
    return
  done
  fail "no $1 free ports were found in $try tries"
}

# Starts $1 replicas with their data under $2, which may hold a cluster that was stopped, and waits until they have a leader.
start_replicas() {
  local count=$1 data=$2 number members="" found=()
  mkdir -p "$data"
  if [ ! -f "$data/base" ]; then
    free_ports $((2 * count)) >"$data/base"
    found=(--found)
  fi
  local base
  base=$(cat "$data/base")
  FOLIO_ENDPOINTS=""
  for ((number = 1; number <= count; number++)); do
    members+="${members:+,}$number=127.0.0.1:$((base + number - 1))/127.0.0.1:$((base + count + number - 1))"
    FOLIO_ENDPOINTS+="${FOLIO_ENDPOINTS:+,}127.0.0.1:$((base + count + number - 1))"
  done
  export FOLIO_ENDPOINTS
  replica_processes=()
  for ((number = 1; number <= count; number++)); do
    "$folio" serve --data-dir "$data/$number" --replica-id "$number" --members "$members" "${found[@]}" \
      2>>"$data/$number.log" &
    replica_processes+=($!)
  done
  local try
  for try in $(seq 1 600); do
    "$folio" status --output json 2>/dev/null | grep -q '"role":"leader"' && return
    check_replicas "$data"
    sleep 0.1
  done
  fail "the replicas have no leader after $try tries; their logs: $(tail -n 3 "$data"/*.log)"
}

# A replica that ended by itself is a failure of the run.
check_replicas() {
  local process
  for process in "${replica_processes[@]}"; do
    kill -0 "$process" 2>/dev/null || fail "a replica ended by itself: $(tail -n 3 "$1"/*.log)"
  done
}

stop_replicas() {
  [ ${#replica_processes[@]} -gt 0 ] || return 0
  local process try
  kill "${replica_processes[@]}" 2>/dev/null || true
  for process in "${replica_processes[@]}"; do
    for try in $(seq 1 300); do
      kill -0 "$process" 2>/dev/null || break
      [ "$try" -lt 300 ] || kill -9 "$process" 2>/dev/null || true
      sleep 0.1
    done
    wait "$process" 2>/dev/null || true
  done
  replica_processes=()
}

# One bench with its report as JSON on standard output; it fails if what was accepted is not on the book.
bench() { "$folio" bench --output json --timeout 60s "$@"; }

# The machine, for people.
machine() {
  local model memory
  model=$(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo)
  memory=$(awk '/^MemTotal/ {printf "%d GiB", $2 / 1048576 + 0.5}' /proc/meminfo)
  printf '%s cores of %s, %s, %s, Linux %s' "$(nproc)" "$model" "$memory" "$(findmnt -n -o FSTYPE -T "$1" 2>/dev/null || stat -f -c %T "$1")" "$(uname -r)"
}

# Functions of jq that the reports use.
# shellcheck disable=SC2034,SC2016
jq_words='
def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def grouped: if . == null then "–" else (round | tostring | [while(length > 0; .[:-3]) | .[-3:]] | reverse | join(" ")) end;
def places($n): if . == null then "–" else (. * pow(10; $n) | round) as $whole
  | ($whole | tostring | if length <= $n then ("0" * ($n + 1 - length)) + . else . end) | .[:-$n] + "." + .[-$n:] end;
def spread: {median: median, least: min, most: max};
'

# Whether $rest says how many seconds to rest.
check_rest() { [[ $rest =~ ^[0-9]{1,4}$ ]] || fail "--rest $rest is not a number from 0 to 9999"; }

# Before a case: nothing of the one before is left to be written, and the machine has been left alone for as long as $rest says.
rest_first() {
  [ "$rest" -gt 0 ] || return 0
  sync
  sleep "$rest"
}
