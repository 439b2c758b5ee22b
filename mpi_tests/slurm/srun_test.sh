#!/usr/bin/env bash
# Training that srun starts on two nodes, killed and resumed. Usage: srun_test.sh BIN_DIRECTORY
set -euo pipefail
cluster=()
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"

training whole --steps 40 --save-every 10
srun --mpi=pmix -N 2 -n 4 "${train[@]}"
"$bin/muster" show "$scratch/whole" >show.out
says show.out "ranks      4 on 2 node(s)"

training broken --steps 40 --save-every 10
if srun --mpi=pmix -N 2 -n 4 "${train[@]}" --crash-at 25 2>crash.err; then say_and_fail "the run that was to crash did not"; fi
[ "$("$bin/muster" latest "$scratch/broken")" = step_20 ]
srun --mpi=pmix -N 2 -n 4 "${train[@]}" >resumed.out
says resumed.out "resumed from step_20"
compare_losses broken whole 40
"$bin/muster" verify --all "$scratch/broken"

# One rank, however it is started.
training none --steps 10
"${train[@]}"
training mpirun --steps 10
mpirun -n 1 "${train[@]}"
training mpiexec --steps 10
mpiexec -n 1 "${train[@]}"
training srun --steps 10
srun --mpi=pmix -n 1 "${train[@]}"
for launcher in mpirun mpiexec srun; do compare_losses "$launcher" none 10; done
