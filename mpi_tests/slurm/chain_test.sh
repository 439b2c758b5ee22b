#!/usr/bin/env bash
# Chains of jobs. Usage: chain_test.sh BIN_DIRECTORY
set -euo pipefail
cluster=(--kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
export PATH=$bin:$PATH

queue_is_empty() {
  local queue
  queue=$(squeue -h) && [ -z "$queue" ]
}
wait_for_chain() { # wait_for_chain: sets last, the number of the last job that ran
  wait_until 120 queue_is_empty
  last=$(find . -name 'train-chain-*.out' | sed 's/.*-\([0-9]*\).out/\1/' | sort -n | tail -n 1)
}

echo "20 steps a job: the chain ends by itself when 60 are done"
training whole --steps 60 --save-every 10
srun --mpi=pmix -N 2 -n 4 "${train[@]}" >whole.out
cat >some_steps.sh <<'SH'
#!/bin/bash
# Stops after 20 steps a job, as the time limit would make it.
steps=$((20 * MUSTER_CHAIN_LINK))
"$@" --steps $steps || exit
[ $steps -eq 60 ] || exit 75
SH
chmod +x some_steps.sh
training chained --save-every 10
first=$("$repository/slurm/submit-chain.sh" --time=10:00 --comment="with a space" -- ./some_steps.sh "${train[@]}" | tr -dc 0-9)
wait_for_chain
tail -n 1 train-chain-*.out
[ "$last" -eq $((first + 2)) ] || say_and_fail "the last job is $last, the first was $first"
says "train-chain-$((first + 1)).out" "resumed from step_20"
says "train-chain-$last.out" "resumed from step_40"
says "train-chain-$last.out" "done, in 3 jobs"
for ((job = first; job <= last; job++)); do
  scontrol show job "$job" | grep -q 'TimeLimit=00:10:00' || say_and_fail "job $job has not the options of the chain"
  scontrol show job "$job" | grep -qF 'Comment=with a space' || say_and_fail "job $job has not the options of the chain"
done
compare_losses chained whole 60
rm train-chain-*.out

echo "no progress: given up"
training hopeless --steps 30 --save-every 10
MUSTER_MAX_RESTARTS=1 sbatch --parsable "$repository/slurm/train-chained.sbatch" "${train[@]}" --crash-at 5 >first
wait_for_chain
[ "$last" -eq $(($(cat first) + 2)) ] || say_and_fail "the last job is $last, the first was $(cat first)"
says "train-chain-$last.out" "giving up: 1 more jobs without progress, the newest checkpoint is still: none"
rm train-chain-*.out

echo "asks to be requeued: each job is followed by one, and given up as any other"
cat >asks.sh <<'SH'
#!/bin/bash
exit 85
SH
chmod +x asks.sh
MUSTER_MAX_RESTARTS=1 "$repository/slurm/submit-chain.sh" --export=ALL -- ./asks.sh --dir none >first
wait_for_chain
[ "$last" -eq $(($(tr -dc 0-9 <first) + 2)) ] || say_and_fail "the last job is $last, the first was $(cat first)"
says "train-chain-$last.out" "giving up: 1 more jobs without progress"
[ "$(cat train-chain-*.out | grep -c 'stopped early')" -eq 2 ] || say_and_fail "a job was started again"
rm train-chain-*.out

echo "jobs that get no environment: given up all the same"
ln -s "$bin/muster" muster
"$repository/slurm/submit-chain.sh" --export=NONE -- ./asks.sh --dir none >first
wait_for_chain
[ "$last" -eq $(($(tr -dc 0-9 <first) + 4)) ] || say_and_fail "the last job is $last, the first was $(cat first)"
says "train-chain-$last.out" "giving up: 3 more jobs without progress"
rm train-chain-*.out

echo "used in a wrong way: the chain ends"
sbatch "$repository/slurm/train-chained.sbatch" "${train[@]}" --no-such-option
wait_for_chain
says "train-chain-$last.out" "the chain ends"
[ "$(find . -name 'train-chain-*.out' | wc -l)" -eq 1 ] || say_and_fail "more than one job ran"
