#!/usr/bin/env python3
"""Lets an orphan run on against the job that took its place.

  fencing_orphan.py --launcher L --program P --muster M [--rounds 8] [--async] [--seed S]

Each round: a loop of saves is stopped (SIGSTOP to all its ranks) at a random moment, as the ranks of a node are that the
others have lost; a second one takes the directory over, as a later start of the same Slurm job or because it is told to,
and saves on; it too is stopped, so that nothing but the orphan can change the directory; the orphan goes on (SIGCONT). It
must end with "superseded" on all ranks and leave the directory as it is: no tag more, none less, none replaced, no
pointer moved, no file of the second one touched. Then the second one goes on, and all tags pass `muster verify`.
"""

import os
import random
import signal
import subprocess
import sys
import time

from save_loop_job import Failure, SaveLoopJob, parser_for, run

PATIENCE_S = 120


def start(arguments, directory, name, **variables):
    return SaveLoopJob(arguments, os.path.join(directory, "ckpts"), os.path.join(directory, name), PATIENCE_S, **variables)


def wait_for_saves(job, count):
    job.wait_for(lambda: len(job.saved()) >= count, f"{count} saves", PATIENCE_S)


def snapshot(checkpoints):
    """What is in the directory, but for the notes that nobody goes by."""
    files = {}
    for name in os.listdir(checkpoints):
        if name in (".progress", "history.jsonl"):
            continue
        status = os.lstat(os.path.join(checkpoints, name))
        # What the kernel has been given to write goes on while the program is stopped: into files that are not published.
        unpublished = name.endswith(".part")
        files[name] = (status.st_ino,) if unpublished else (status.st_ino, status.st_size, status.st_mtime_ns)
    return files


def threads_of(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def state_of(pid, thread):
    try:
        with open(f"/proc/{pid}/task/{thread}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def wait_until_stopped(job):
    """All threads: one that is in a system call ends it first, and that may be a rename."""
    for pid in job.pids():
        end = time.monotonic() + PATIENCE_S
        while any(state_of(pid, thread) not in "TZX" for thread in threads_of(pid)):
            if time.monotonic() > end:
                raise Failure(f"process {pid} is not stopped after {PATIENCE_S} s")
            time.sleep(0.002)


def one_round(arguments, directory, number):
    checkpoints = os.path.join(directory, "ckpts")
    as_requeued = number % 2 == 0
    slurm = {"SLURM_JOB_ID": str(4711 + number)} if as_requeued else {}
    orphan = start(arguments, directory, f"orphan{number}", **slurm)
    second = None
    try:
        wait_for_saves(orphan, 2)
        time.sleep(random.uniform(0, 0.2))
        orphan.signal(signal.SIGSTOP)
        wait_until_stopped(orphan)
        saved_by_orphan = orphan.saved()

        takes_over = dict(slurm, SLURM_RESTART_COUNT="1") if as_requeued else {"MUSTER_TAKE_OVER": "1"}
        second = start(arguments, directory, f"second{number}", **takes_over)
        wait_for_saves(second, 3)
        time.sleep(random.uniform(0, 0.1))
        second.signal(signal.SIGSTOP)
        wait_until_stopped(second)
        before = snapshot(checkpoints)
        saved_by_second = second.saved()

        orphan.signal(signal.SIGCONT)
        orphan.wait(PATIENCE_S)
        after = snapshot(checkpoints)
        words = orphan.output()
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if changed:
            raise Failure(f"the orphan changed {sorted(changed)}:\n{words}")
        if orphan.process.returncode == 0 or words.count(": superseded: ") < 1:
            raise Failure(f"the orphan does not say that it was superseded:\n{words}")
        if "this run was superseded in" not in words or "belongs to " not in words:
            raise Failure(f"the orphan does not say by whom:\n{words}")
        # At most the saves that were published when it was stopped, and that it had not yet told of.
        for tag in orphan.saved()[len(saved_by_orphan):]:
            if tag in saved_by_second:
                raise Failure(f"both say to have saved {tag}")

        second.signal(signal.SIGCONT)
        wait_for_saves(second, len(saved_by_second) + 2)
    finally:
        for job in (orphan, second):
            if job:
                job.signal(signal.SIGCONT)
                job.kill()
    verified = subprocess.run([arguments.muster, "verify", checkpoints], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)
    if verified.returncode != 0:
        raise Failure(f"round {number}: {verified.stdout}")


def all_rounds(arguments, directory):
    for number in range(arguments.rounds):
        one_round(arguments, directory, number)
    print(f"{arguments.rounds} orphans changed nothing")


if __name__ == "__main__":
    sys.exit(run(parser_for(__doc__, rounds=8, long_rounds=40).parse_args(), all_rounds))
