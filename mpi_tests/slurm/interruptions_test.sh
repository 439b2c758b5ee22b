#!/usr/bin/env bash
# One training run, interrupted over and over. Usage: interruptions_test.sh BIN_DIRECTORY KINDS [COUNT [SEED]]
# COUNT times (2, in the long schedule 10) at a random moment: a preemption, a warning signal, scontrol requeue, or a node that
# dies, with all that runs on it. KINDS are those that come in any case, such as "preemption loss"; the others come by chance, in random
# order. A step is done twice only where a node died, and then at most the ten since the last save; nothing is lost; all losses are those
# of a run that nothing happened to, bit by bit.
set -euo pipefail
cluster=(--nodes 3 --kill-wait 10)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &
read -ra kinds <<<"$2"
count=${3:-$(long_or 10 2)}
seed=${4:-$RANDOM}
RANDOM=$seed
echo "seed $seed"

# A rank a node starts in half the time of two.
MUSTER_RANKS_PER_NODE=$(long_or 2 1)
export MUSTER_RANKS_PER_NODE
log_every=1
training run --save-every 10 --keep-last 3
train_until "[ -e enough ]" run
PATH=$bin:$PATH MUSTER_MAX_RESTARTS=5 SLURM_WAIT=10 sbatch --parsable --nodes=2 --output=job.out \
  "$repository/slurm/train-preemptible.sbatch" "${train[@]}" >job
job=$(cat job)

touch job.out
last_step() { sed -n 's|^step \([0-9]*\)/.*|\1|p' job.out | tail -n 1; }
starts() { grep -cE '^(resumed from|no checkpoint in)' job.out || true; }
goes_on() { [ "$(starts)" -gt "$begun" ] && has_passed; }
has_passed() { local now && now=$(last_step) && [ "${now:-0}" -ge "$goal" ]; }
is_not_running() {
  local state
  state=$(squeue -h -j "$job" -o %T) && [ "$state" != RUNNING ]
}

likely=(preemption preemption preemption warning warning requeue requeue loss loss loss)
for ((i = ${#kinds[@]}; i < count; i++)); do kinds+=("${likely[RANDOM % ${#likely[@]}]}"); done
for ((i = ${#kinds[@]} - 1; i > 0; i--)); do
  j=$((RANDOM % (i + 1))) kind=${kinds[i]}
  kinds[i]=${kinds[j]} kinds[j]=$kind
done

begun=0
for ((i = 1; i <= count; i++)); do
  goal=$(($(last_step || true) + 1 + RANDOM % 40))
  wait_until 180 goes_on
  begun=$(starts)
  if [ "$i" -eq "$count" ]; then touch enough; fi
  case ${kinds[i - 1]} in
    preemption)
      what="a preemption"
      high=$(sbatch --parsable --partition=high --nodes=2 --exclusive --output=/dev/null --wrap "sleep 1")
      wait_for_end "$high" 60
      ;;
    warning) what="USR1" && scancel --signal=USR1 "$job" ;;
    requeue) what="scontrol requeue" && scontrol requeue "$job" ;;
    loss)
      mapfile -t nodes < <(scontrol show hostnames "$(squeue -h -j "$job" -o %N)")
      node=${nodes[RANDOM % ${#nodes[@]}]}
      what="the loss of $node"
      lose_node "$node"
      wait_until 60 is_not_running
      start_node "$node"
      ;;
  esac
  echo "interruption $i after step $(last_step): $what" | tee -a interruptions
done
wait_for_end "$job" 300
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
says job.out "train-preemptible.sbatch: done"
python3 - "$count" "$(grep -c 'the loss of' interruptions || true)" <<'PY'
import re, sys
count, losses = map(int, sys.argv[1:])
starts, steps = [], []
for line in open("job.out"):
    if found := re.match(r"resumed from step_(\d+):|no checkpoint in", line):
        starts.append((int(found[1] or 0), steps[-1] if steps else 0))
    elif found := re.match(r"step (\d+)/", line):
        steps.append(int(found[1]))
again = [reached - resumed for resumed, reached in starts]
assert len(starts) > count, f"only {len(starts)} starts"
assert all(twice <= 10 for twice in again), f"steps done again: {again}"
assert sum(twice > 0 for twice in again) <= losses, f"steps done again without a lost node: {again}"
print(f"{len(starts)} starts; steps done again: {sum(max(0, n) for n in again)} in {losses} losses of a node, at most {max(again)} each")
PY
steps=$(newest_step run)
training whole --steps "$steps" --save-every 10 --keep-last 3
on_two_nodes "${train[@]}" >whole.out
compare_losses run whole "$steps"
"$bin/muster" verify --all "$scratch/run"
