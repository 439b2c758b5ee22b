#!/usr/bin/env bash
# Two jobs in one directory: what their ranks end with, and what the template makes of it. Usage: second_job_test.sh BIN_DIRECTORY
# The second is told who is there, and changes nothing; one that takes the directory over ends the first.
set -euo pipefail
cluster=(--kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
template=$repository/slurm/train-preemptible.sbatch

# As with train_until.
export MUSTER_FAILPOINT=train.step:pause
training first --save-every 10
first=("${train[@]}" --steps 1000000)
# In the same directory, with losses of its own.
training second --save-every 10
second=("${train[@]/%"$scratch/second"/"$scratch/first"}" --steps 1000000)
holder=$(sbatch --parsable --nodes=1 --output=first.out "$template" "${first[@]}")
wait_until 60 reached first 20
says first.out "start 1 on n1"

submit --nodes=1 --output=second.out "$template" "${second[@]}"
grep -E '^(muster-train:|train-preemptible)' second.out
[ "$status" -eq 5 ] || say_and_fail "the second job: exit status $status, and not 5"
says second.out "start 1 on n2"
grep -qE "first is held by job $holder \(restart 0\) on n1 \(pid [0-9]+\) since 20[-0-9]{8}T[:.0-9]+Z, which may be running still" second.out ||
  say_and_fail "the second job is not told who holds the directory, and since when"
says second.out "another job holds the directory; not started again"
if grep '^saved step_' second.out; then say_and_fail "the second job saved"; fi
# The first one has not noticed.
step=$(newest_step first)
wait_until 60 reached first $((step + 20))

echo "$(date +%T) one that is asked to takes over"
taker=$(MUSTER_TAKE_OVER=1 sbatch --parsable --nodes=1 --output=taker.out "$template" "${second[@]}")
wait_for_end "$holder" 60
grep -E '^(muster-train:|train-preemptible)' first.out
[ "$status" -eq 4 ] || say_and_fail "the first job: exit status $status, and not 4"
grep -qE "superseded in .*: generation 2 belongs to job $taker \(restart 0\) on n2" first.out || say_and_fail "the first job is not told by whom"
says first.out "superseded; not started again"
[ "$(grep -c '^train-preemptible.sbatch: start' first.out)" -eq 1 ] || say_and_fail "the first job was started again"
step=$(newest_step first)
wait_until 60 reached first $((step + 20))
scancel "$taker"
wait_for_end "$taker"
"$bin/muster" verify --all "$scratch/first"
"$bin/muster" stats --json "$scratch/first" | python3 -c '
import json, sys
saves = json.load(sys.stdin)["saves"]
generations = [save["generation"] for save in saves if save["outcome"] == "published"]
assert sorted(generations) == generations and set(generations) == {1, 2}, generations
print(*(f"{generations.count(generation)} saves of generation {generation}" for generation in (1, 2)), sep=", ")'
