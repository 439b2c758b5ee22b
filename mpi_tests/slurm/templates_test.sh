#!/usr/bin/env bash
# A template as it is, on a cluster of two nodes: a job that crashes, and the same line again. Usage:
# templates_test.sh BIN_DIRECTORY TEMPLATE, with TEMPLATE train or train-mpirun
set -euo pipefail
cluster=()
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
template=$repository/slurm/$2.sbatch

submit --output=usage.out "$template"
[ "$status" -eq 2 ] || say_and_fail "without a command: exit status $status"
says usage.out "submit it with a training command"

training whole --steps 40 --save-every 10
submit --output=whole.out "$template" "${train[@]}"
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
training broken --steps 40 --save-every 10
submit --output=broken.out "$template" "${train[@]}" --crash-at 25
[ "$status" -ne 0 ] || say_and_fail "the run that was to crash did not"
[ "$("$bin/muster" latest "$scratch/broken")" = step_20 ]
submit --output=resumed.out "$template" "${train[@]}"
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
says resumed.out "resumed from step_20"
compare_losses broken whole 40
"$bin/muster" show "$scratch/broken" >show.out
says show.out "ranks      4 on 2 node(s)"
"$bin/muster" verify --all "$scratch/broken"
