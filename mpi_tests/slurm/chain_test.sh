#!/usr/bin/env bash
# Chains of jobs. Usage: chain_test.sh BIN_DIRECTORY
# All chains run at once, each in a folder of its own, where its jobs leave what they print.
set -euo pipefail
cluster=(--cpus 12 --kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
export PATH=$bin:$PATH

cat >some_steps.sh <<'SH'
#!/bin/bash
# Stops after 20 steps a job, as the time limit would make it.
steps=$((20 * MUSTER_CHAIN_LINK))
"$@" --steps $steps || exit
[ $steps -eq 60 ] || exit 75
SH
cat >asks.sh <<'SH'
#!/bin/bash
exit 85
SH
chmod +x some_steps.sh asks.sh
mkdir steps none asks bare usage
ln -s "$bin/muster" muster # where there is no PATH

training chained --save-every 10
(cd steps && "$repository/slurm/submit-chain.sh" --time=10:00 --comment="with a space" -- ../some_steps.sh "${train[@]}")
training hopeless --steps 30 --save-every 10
(cd none && MUSTER_MAX_RESTARTS=1 sbatch "$repository/slurm/train-chained.sbatch" "${train[@]}" --crash-at 5)
(cd asks && MUSTER_MAX_RESTARTS=1 "$repository/slurm/submit-chain.sh" --export=ALL -- ../asks.sh --dir none)
(cd bare && "$repository/slurm/submit-chain.sh" --export=NONE -- ../asks.sh --dir none)
(cd usage && sbatch "$repository/slurm/train-chained.sbatch" "${train[@]}" --no-such-option)
training whole --steps 60 --save-every 10
on_two_nodes "${train[@]}" >whole.out

chain_has_ended() { # chain_has_ended FOLDER: no job of it is in the queue
  local folders
  folders=$(squeue -h -o %Z) && ! grep -qx "$scratch/$1" <<<"$folders"
}
ended() { # ended FOLDER COUNT: the chain had so many jobs; sets last, what the last one printed, and goes to the folder
  cd "$scratch/$1"
  wait_until 120 chain_has_ended "$1"
  mapfile -t outputs < <(find . -name 'train-chain-*.out' | sort -t- -k3n)
  [ "${#outputs[@]}" -eq "$2" ] || say_and_fail "${#outputs[@]} jobs, and not $2: ${outputs[*]}"
  last=${outputs[-1]}
}

echo "20 steps a job: the chain ends by itself when 60 are done"
ended steps 3
tail -n 1 "${outputs[@]}"
says "${outputs[1]}" "resumed from step_20"
says "$last" "resumed from step_40"
says "$last" "done, in 3 jobs"
for output in "${outputs[@]}"; do
  job=${output//[^0-9]/}
  scontrol show job "$job" | grep -q 'TimeLimit=00:10:00' || say_and_fail "job $job has not the options of the chain"
  scontrol show job "$job" | grep -qF 'Comment=with a space' || say_and_fail "job $job has not the options of the chain"
done
compare_losses chained whole 60

echo "no progress: given up"
ended none 3
says "$last" "giving up: 1 more jobs without progress, the newest checkpoint is still: none"

echo "asks to be requeued: each job is followed by one, and given up as any other"
ended asks 3
says "$last" "giving up: 1 more jobs without progress"
[ "$(cat "${outputs[@]}" | grep -c 'stopped early')" -eq 2 ] || say_and_fail "a job was started again"

echo "jobs that get no environment: given up all the same"
ended bare 5
says "$last" "giving up: 3 more jobs without progress"

echo "used in a wrong way: the chain ends"
ended usage 1
says "$last" "the chain ends"
