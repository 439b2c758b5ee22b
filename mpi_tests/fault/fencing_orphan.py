#!/usr/bin/env python3
"""Lets an orphan run on against the job that took its place.

  fencing_orphan.py --launcher L --program P --muster M [--rounds 8] [--async] [--seed S]

Each round: a loop of saves is stopped (SIGSTOP to all its ranks) at a random moment, as the ranks of a node are that the
others have lost; a second one takes the directory over, as a later start of the same Slurm job or because it is told to,
and saves on; it too is stopped, so that nothing but the orphan can change the directory; the orphan goes on (SIGCONT). It
must end with "superseded" on all ranks and leave the directory as it is: no tag more, none less, none replaced, no
pointer moved, no file of the second one touched. Then the second one goes on, and all tags pass `muster verify`.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

RANKS = 2
PATIENCE_S = 120


class Failure(Exception):
    pass


class Job:
    """One start of the program under its launcher."""

    def __init__(self, arguments, directory, name, variables):
        self.log = os.path.join(directory, name)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "SLURM_"))}
        environment["OMPI_MCA_odls_base_sigkill_timeout"] = "0"
        command = [arguments.launcher, "-n", str(RANKS)]
        if arguments.in_background:
            variables = dict(variables, MUSTER_SAVE_LOOP="async")
        for variable, value in variables.items():
            command += ["-x", f"{variable}={value}"]
        command += [arguments.program, os.path.join(directory, "ckpts"), self.log, str(PATIENCE_S)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=environment, start_new_session=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def output(self):
        return "".join(list(self.lines))

    def pids(self):
        for line in list(self.lines):
            if line.startswith("pids"):
                return [int(pid) for pid in line.split()[1:]]
        return []

    def saved(self):
        try:
            with open(self.log) as lines:
                return [line.strip() for line in lines if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def wait_for_saves(self, count):
        end = time.monotonic() + PATIENCE_S
        while len(self.saved()) < count:
            if self.process.poll() is not None:
                raise Failure(f"a job ended (exit code {self.process.returncode}) before it had saved:\n{self.output()}")
            if time.monotonic() > end:
                raise Failure(f"a job does not save:\n{self.output()}")
            time.sleep(0.002)

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def wait(self):
        try:
            self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"a job does not end:\n{self.output()}") from None
        self.reader.join(timeout=10)

    def kill(self):
        self.signal(signal.SIGKILL)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.reader.join(timeout=10)


def snapshot(checkpoints):
    """What is in the directory, but for the notes that nobody goes by."""
    files = {}
    for name in os.listdir(checkpoints):
        if name in (".progress", "history.jsonl"):
            continue
        status = os.lstat(os.path.join(checkpoints, name))
        files[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return files


def wait_until_stopped(job):
    for pid in job.pids():
        while True:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] in "TZ":
                    break
            time.sleep(0.002)


def one_round(arguments, directory, number):
    checkpoints = os.path.join(directory, "ckpts")
    as_requeued = number % 2 == 0
    slurm = {"SLURM_JOB_ID": str(4711 + number)} if as_requeued else {}
    orphan = Job(arguments, directory, f"orphan{number}", slurm)
    second = None
    try:
        orphan.wait_for_saves(2)
        time.sleep(random.uniform(0, 0.2))
        orphan.signal(signal.SIGSTOP)
        wait_until_stopped(orphan)
        saved_by_orphan = orphan.saved()

        second = Job(arguments, directory, f"second{number}",
                     dict(slurm, SLURM_RESTART_COUNT="1") if as_requeued else {"MUSTER_TAKE_OVER": "1"})
        second.wait_for_saves(3)
        time.sleep(random.uniform(0, 0.1))
        second.signal(signal.SIGSTOP)
        wait_until_stopped(second)
        before = snapshot(checkpoints)
        saved_by_second = second.saved()

        orphan.signal(signal.SIGCONT)
        orphan.wait()
        after = snapshot(checkpoints)
        words = orphan.output()
        # Its own unfinished work it may clear away, where the second one has not yet.
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
        second.wait_for_saves(len(saved_by_second) + 2)
    finally:
        for job in (orphan, second):
            if job:
                job.signal(signal.SIGCONT)
                job.kill()
    verified = subprocess.run([arguments.muster, "verify", checkpoints], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)
    if verified.returncode != 0:
        raise Failure(f"round {number}: {verified.stdout}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", required=True, help="mpirun or a script that takes its arguments")
    parser.add_argument("--program", required=True, help="save_loop")
    parser.add_argument("--muster", required=True, help="the command muster")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--async", dest="in_background", action="store_true", help="save in the background")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 30)
    random.seed(seed)
    with tempfile.TemporaryDirectory(prefix="muster-orphan-", dir=os.environ.get("MUSTER_TEST_DIR")) as directory:
        try:
            for number in range(arguments.rounds):
                one_round(arguments, directory, number)
        except Failure as failure:
            print(f"seed {seed}: {failure}", file=sys.stderr)
            return 1
    print(f"{arguments.rounds} orphans changed nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
