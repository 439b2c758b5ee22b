"""The program save_loop under its launcher, for tests that kill, stop or outlive it."""

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


class Failure(Exception):
    pass


class SaveLoopJob:
    """One start of it: saves to `checkpoints` and notes each published tag in `log`."""

    def __init__(self, arguments, checkpoints, log, timeout_s, **variables):
        self.log = log
        self.errors = log + ".errors"
        if os.path.exists(self.errors):  # of the start before
            os.remove(self.errors)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "SLURM_"))}
        # Open MPI's launcher would wait a second or two for processes that are dead already.
        environment["OMPI_MCA_odls_base_sigkill_timeout"] = "0"
        if arguments.in_background:
            environment["MUSTER_SAVE_LOOP"] = "async"
        environment.update(variables)
        command = [arguments.launcher, "-n", str(RANKS), arguments.program, checkpoints, log, str(timeout_s)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=environment, start_new_session=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def output(self):
        """What it printed, and the errors with which its ranks ended."""
        try:
            with open(self.errors) as errors:
                return "".join(list(self.lines)) + errors.read()
        except FileNotFoundError:
            return "".join(list(self.lines))

    def pids(self):
        for line in list(self.lines):
            if line.startswith("pids"):
                return [int(pid) for pid in line.split()[1:]]
        return []

    def saved(self):
        return tags_in(self.log)

    def wait_for(self, condition, what, seconds):
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

    def wait(self, seconds):
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"the program does not end:\n{self.output()}") from None
        self.reader.join(timeout=10)

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal(signal.SIGKILL)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.reader.join(timeout=10)


def tags_in(log):
    """Those whose save() has returned."""
    try:
        with open(log) as lines:
            return [line.strip() for line in lines if line.endswith("\n")]
    except FileNotFoundError:
        return []


def parser_for(description, rounds, long_rounds):
    """With MUSTER_TEST_LONG (scripts/test.sh --long) it does so many rounds as in the long schedule."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", required=True, help="mpirun or a script that takes its arguments")
    parser.add_argument("--program", required=True, help="save_loop")
    parser.add_argument("--muster", required=True, help="the command muster")
    parser.add_argument("--rounds", type=int, default=long_rounds if os.environ.get("MUSTER_TEST_LONG") else rounds)
    parser.add_argument("--async", dest="in_background", action="store_true", help="save in the background")
    parser.add_argument("--seed", type=int, default=None)
    return parser


def run(arguments, test):
    """test(arguments, directory), with a seed that a failure names. The exit code."""
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 30)
    random.seed(seed)
    with tempfile.TemporaryDirectory(prefix="muster-fault-", dir=os.environ.get("MUSTER_TEST_DIR")) as directory:
        try:
            test(arguments, directory)
        except Failure as failure:
            print(f"seed {seed}: {failure}", file=sys.stderr)
            return 1
    return 0
