#!/usr/bin/env python3
"""Kills a loop of saves and checks what is left.

  kill_random.py random  --launcher L --program P --muster M [--rounds 100] [--seed S]
      SIGKILL to all ranks at a random moment after the first tag of this start was published.
  kill_random.py points  ...
      SIGKILL to one rank at every step of publishing, and in the phases before it.
  kill_random.py stopped ...
      SIGSTOP to one rank in the middle of a save: the other one must get a timeout.

With --async the program saves in the background. After each kill `muster latest` must name a tag that `muster verify` passes and that is not older than the last one
that save() returned from. All rounds use one directory, so each start resumes from what the last one left.
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
START_S = 60  # for a start to publish its first tag, on a busy machine

# Where rank `rank` is killed, and whether the tag being saved is the newest one afterwards.
POINTS = [
    ("save.open", 0, False),
    ("engine.extent", 1, False),
    ("save.sync", 0, False),
    ("save.publish", 1, False),
    ("publish.before_pointer", 0, False),
    ("publish.before_rename", 0, False),
    ("publish.after_rename", 0, True),
    ("publish.after_sync", 0, True),
    ("publish.after_pointer", 0, True),
    ("retention.before_remove", 0, True),
]
# The same for saves in the background.
ASYNC_POINTS = [
    ("async.stage", 1, False),
    ("async.write", 1, False),
    ("async.sync", 0, False),
    ("async.settle", 1, False),
    ("async.publish", 0, False),
] + [point for point in POINTS if point[0].startswith(("publish.", "retention."))]


class Failure(Exception):
    pass


def step_of(tag):
    return int(tag.rsplit("_", 1)[1])


class Loop:
    """One start of the program under its launcher."""

    def __init__(self, arguments, directory, failpoint=None, timeout_s=60):
        self.published = os.path.join(directory, "published")
        environment = dict(os.environ)
        environment.pop("MUSTER_FAILPOINT", None)
        # Open MPI's launcher would wait a second or two for processes that are dead already.
        environment["OMPI_MCA_odls_base_sigkill_timeout"] = "0"
        if arguments.in_background:
            environment["MUSTER_SAVE_LOOP"] = "async"
        if failpoint:
            environment["MUSTER_FAILPOINT"] = failpoint
        checkpoints = os.path.join(directory, "ckpts")
        command = [arguments.launcher, "-n", str(RANKS), arguments.program, checkpoints, self.published, str(timeout_s)]
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

    def wait_for(self, condition, what, seconds=START_S):
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                time.sleep(0.2)
                if condition():
                    return
                raise Failure(f"the program ended (exit code {self.process.returncode}) before {what}:\n{self.output()}")
            if time.monotonic() > end:
                raise Failure(f"no {what} within {seconds} s:\n{self.output()}")
            time.sleep(0.002)

    def kill(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.reader.join(timeout=10)


def published(directory):
    try:
        with open(os.path.join(directory, "published")) as lines:
            return [line.strip() for line in lines if line.endswith("\n")]
    except FileNotFoundError:
        return []


def newest(arguments, directory):
    """The tag that a resume takes; it must pass verification and not be older than the last one published."""
    checkpoints = os.path.join(directory, "ckpts")
    latest = subprocess.run([arguments.muster, "latest", checkpoints], capture_output=True, text=True)
    if latest.returncode != 0:
        raise Failure(f"muster latest: exit code {latest.returncode}: {latest.stdout}{latest.stderr}")
    tag = latest.stdout.split()[0]
    verify = subprocess.run([arguments.muster, "verify", checkpoints, "--tag", tag], capture_output=True, text=True)
    if verify.returncode != 0:
        raise Failure(f"muster verify of {tag}: exit code {verify.returncode}: {verify.stdout}{verify.stderr}")
    tags = published(directory)
    if tags and step_of(tag) < step_of(tags[-1]):
        raise Failure(f"the newest sound tag is {tag}, but {tags[-1]} was published")
    return tag


def one_random_kill(arguments, directory):
    before = len(published(directory))
    loop = Loop(arguments, directory)
    try:
        loop.wait_for(lambda: len(published(directory)) > before, "first tag of this start")
        time.sleep(random.uniform(0.02, 0.4))
        if loop.process.poll() is not None:
            raise Failure(f"the program ended by itself:\n{loop.output()}")
    finally:
        loop.kill()
    return newest(arguments, directory)


def kill_at_random(arguments, directory):
    # Counts, to see that the kills hit different moments.
    left = {"part": 0, "newer": 0}
    for number in range(arguments.rounds):
        try:
            tag = one_random_kill(arguments, directory)
        except Failure as failure:
            raise Failure(f"round {number + 1}: {failure}") from failure
        left["part"] += any(name.endswith(".part") for name in os.listdir(os.path.join(directory, "ckpts")))
        left["newer"] += tag != published(directory)[-1]
    print(f"{arguments.rounds} kills, {len(published(directory))} tags published; after {left['part']} kills a part "
          f"file was left, after {left['newer']} the newest tag was one that save() had not returned from yet")
    if arguments.rounds >= 20 and left["part"] == 0:
        raise Failure("no kill hit a save: the moments are not random enough")


def kill_at_points(arguments, directory):
    one_random_kill(arguments, directory)
    points = ASYNC_POINTS if arguments.in_background else POINTS
    for point, rank, visible in points:
        before = step_of(newest(arguments, directory))
        loop = Loop(arguments, directory, failpoint=f"{point}@{rank}:kill")
        try:
            # The launcher ends the job when a rank dies.
            loop.process.wait(timeout=START_S)
        except subprocess.TimeoutExpired as expired:
            raise Failure(f"{point}: nobody died:\n{loop.output()}") from expired
        finally:
            loop.kill()
        after = step_of(newest(arguments, directory))
        if after != before + (1 if visible else 0):
            raise Failure(f"{point}: the newest tag went from step {before} to {after}")
    tag = one_random_kill(arguments, directory)
    print(f"killed at {len(points)} points; went on to {tag}")


def stop_one_rank(arguments, directory):
    one_random_kill(arguments, directory)
    before = newest(arguments, directory)
    for point in ("save.plan", "save.open", "save.write", "save.sync", "save.publish"):
        loop = Loop(arguments, directory, failpoint=f"{point}@1:stop", timeout_s=1)
        try:
            loop.wait_for(lambda: "rank 0: timeout:" in loop.output(), "timeout on rank 0", 30)
        except Failure as failure:
            raise Failure(f"{point}: {failure}") from failure
        finally:
            loop.kill()
        if newest(arguments, directory) != before:
            raise Failure(f"{point}: a tag was published")
    one_random_kill(arguments, directory)
    print("a rank stopped in any phase gives the other one a timeout")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["random", "points", "stopped"])
    parser.add_argument("--launcher", required=True, help="mpirun or a script that takes its arguments")
    parser.add_argument("--program", required=True, help="save_loop")
    parser.add_argument("--muster", required=True, help="the command muster")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--async", dest="in_background", action="store_true", help="save in the background")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 30)
    random.seed(seed)
    modes = {"random": kill_at_random, "points": kill_at_points, "stopped": stop_one_rank}
    root = os.environ.get("MUSTER_TEST_DIR")
    with tempfile.TemporaryDirectory(prefix="muster-kill-", dir=root) as directory:
        try:
            modes[arguments.mode](arguments, directory)
        except Failure as failure:
            print(f"seed {seed}: {failure}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
