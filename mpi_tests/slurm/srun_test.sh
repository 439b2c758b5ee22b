#!/usr/bin/env bash
# Training that srun starts. Usage: srun_test.sh BIN_DIRECTORY CASE, with CASE one of
#   resume     on two nodes, killed and resumed
#   launchers  one rank, as each launcher starts it
set -euo pipefail
cluster=()
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"

if [ "$2" = launchers ]; then
  training none --steps 10
  "${train[@]}"
  training mpirun --steps 10
  mpirun -n 1 "${train[@]}"
  training mpiexec --steps 10
  mpiexec -n 1 "${train[@]}"
  training srun --steps 10
  srun --mpi=pmix -n 1 "${train[@]}"
  for launcher in mpirun mpiexec srun; do compare_losses "$launcher" none 10; done
  exit
fi
[ "$2" = resume ] || say_and_fail "no case $2"

training whole --steps 40 --save-every 10
on_two_nodes "${train[@]}"
"$bin/muster" show "$scratch/whole" >show.out
says show.out "ranks      4 on 2 node(s)"
# Two ranks on each of them, in the order in which srun gives them out; and each of the four has its row in the table.
"$bin/muster" show --json "$scratch/whole" | python3 -c '
import json, sys
nodes = [row["node"] for row in sorted(json.load(sys.stdin)["telemetry"], key=lambda row: row["rank"])]
print("node of each rank:", nodes)
assert nodes == [0, 0, 1, 1], nodes'
rows=$(awk '$1 == "RANK" && $2 == "NODE" { inside = 1; next } inside { print $1 " on " $2 }' show.out | paste -sd,)
[ "$rows" = "0 on 0,1 on 0,2 on 1,3 on 1" ] || say_and_fail "muster show says of ranks and nodes: $rows"

training broken --steps 40 --save-every 10
if on_two_nodes "${train[@]}" --crash-at 25 2>crash.err; then say_and_fail "the run that was to crash did not"; fi
[ "$("$bin/muster" latest "$scratch/broken")" = step_20 ]
on_two_nodes "${train[@]}" >resumed.out
says resumed.out "resumed from step_20"
compare_losses broken whole 40
"$bin/muster" verify --all "$scratch/broken"
