#!/usr/bin/env bash
# The throw-away cluster itself. Usage: cluster_test.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cluster=$here/../../slurm/local-cluster.sh
# Slurm takes no long paths.
scratch=$(mktemp -d /tmp/muster-cluster-XXXXXX)
end() {
  "$cluster" down --dir "$scratch/up" 2>/dev/null || true
  rm -rf "$scratch"
}
trap end EXIT
say_and_fail() {
  echo "$*"
  exit 1
}
left_over() { # left_over FOLDER: a process that was started with it
  local file
  # The text comes by the standard input: grep is to find no process but others.
  # shellcheck disable=SC2062  # these are files
  file=$({ grep -lsF -f - /proc/[0-9]*/cmdline <<<"$1" || grep -lsF -f - /proc/[0-9]*/environ <<<"=$1/"; } | head -n 1) || true
  [ -z "$file" ] || tr '\0' ' ' 2>/dev/null <"${file%/*}/cmdline"
}
no_leftovers() { # no_leftovers FOLDER: within some seconds
  local process try
  for ((try = 0; try < 50; try++)); do
    process=$(left_over "$1" 2>/dev/null) || true
    [ -n "$process" ] || return 0
    sleep 0.2
  done
  say_and_fail "left over: $process"
}

echo "up and down, twice"
for _ in 1 2; do
  exports=$("$cluster" up --dir "$scratch/up")
  (
    eval "$exports"
    [ "$(srun -N 2 -n 4 hostname | sort | uniq -c | tr -s ' \n' ' ')" = " 2 n1 2 n2 " ] || say_and_fail "no two hosts"
    # What one node has in its shared memory is not there on the other.
    srun -N 1 -n 1 -w n1 touch /dev/shm/mine
    [ "$(srun -N 2 -n 2 ls /dev/shm | tr -d '\n')" = mine ] || say_and_fail "shared memory is that of the machine"
    [ ! -e /dev/shm/mine ]
  )
  if "$cluster" up --dir "$scratch/up" 2>"$scratch/again"; then say_and_fail "up twice"; fi
  grep -q "is up in $scratch/up already" "$scratch/again"
  "$cluster" down --dir "$scratch/up"
  [ ! -e "$scratch/up" ] || say_and_fail "the folder is left"
  no_leftovers "$scratch/up"
done

echo "two boxes at once, each with its exit status"
# shellcheck disable=SC2016  # for the shell inside
"$cluster" run --nodes 3 bash -c '[ "$(srun -N 3 hostname | sort | tr "\n" " ")" = "n1 n2 n3 " ] && exit 7' &
first=$!
"$cluster" run --nodes 1 --cpus 3 bash -c 'srun -n 3 hostname >/dev/null && exit 8' &
second=$!
status=0
wait "$first" || status=$?
[ "$status" -eq 7 ] || say_and_fail "exit status $status, and not 7"
status=0
wait "$second" || status=$?
[ "$status" -eq 8 ] || say_and_fail "exit status $status, and not 8"

echo "a box that is killed"
for signal in TERM KILL; do
  "$cluster" run --dir "$scratch/$signal" bash -c "srun sleep 1000 & touch $scratch/$signal/started; sleep 1000" &
  box=$!
  for ((i = 0; i < 600; i++)); do
    [ ! -e "$scratch/$signal/started" ] || break
    sleep 0.1
  done
  sleep 0.5
  kill "-$signal" "$box"
  wait "$box" 2>/dev/null || true
  no_leftovers "$scratch/$signal"
done

echo "a node that dies and comes back"
# shellcheck disable=SC2016
"$cluster" run bash -c '
  cluster=$1
  # Who is dead may still be there for whoever started it.
  count() { pgrep -cx --runstates RSDTI "$1"; }
  is_on() { pgrep -xf --runstates RSDTI "slurmd -D -N $1" >/dev/null; }
  srun -N 2 tail -f /dev/null &
  for ((i = 0; i < 300; i++)); do
    [ "$(count tail)" -lt 2 ] || break
    sleep 0.1
  done
  [ "$(count tail)" -eq 2 ] || { pgrep -ax tail; exit 1; }
  "$cluster" kill-node n2 --orphans
  is_on n1 && ! is_on n2 && [ "$(count tail)" -eq 2 ] || { echo "no orphan"; exit 1; }
  scancel 1; "$cluster" start-node n2
  for i in $(seq 100); do ! is_on n2 || break; sleep 0.1; done
  "$cluster" kill-node n2
  is_on n1 && ! is_on n2' bash "$cluster"

echo "mpirun keeps its files in the folder of the cluster, on every node"
# shellcheck disable=SC2016  # for the shell inside
"$cluster" run --dir "$scratch/mpirun" salloc -Q -N 2 --ntasks-per-node=1 mpirun sh -c 'echo $PMIX_SERVER_TMPDIR' >"$scratch/folders"
[ "$(grep -c "^$scratch/mpirun/tmp/" "$scratch/folders")" -eq 2 ] || say_and_fail "mpirun's files are in $(cat "$scratch/folders")"

echo "what is missing"
status=0
unshare --user --map-root-user --mount bash -c "mount --bind /dev/null '$(PATH=$PATH:/usr/sbin command -v slurmctld)' && '$cluster' up" \
  2>"$scratch/missing" || status=$?
cat "$scratch/missing"
[ "$status" -eq 3 ]
grep -q '^local-cluster: slurmctld is not installed: it is in the package slurmctld' "$scratch/missing"
status=0
"$cluster" up --nodes none 2>/dev/null || status=$?
[ "$status" -eq 2 ]
