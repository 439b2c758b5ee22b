#!/usr/bin/env python3
"""muster-bench and plot-bench as a person uses them, on a few bytes.

Usage: bench_test.py MUSTER_BENCH MPIRUN PLOT_BENCH
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

BENCH, MPIRUN, PLOT = sys.argv[1:4]
FINE, WRONG_USAGE, NO_ACCESS = 0, 2, 3


def bench(*arguments, ranks=2):
    launcher = [MPIRUN, "-n", str(ranks)] if ranks else []
    return subprocess.run([*launcher, BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=60)


class Bench(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="muster-bench-test-", dir=os.environ.get("MUSTER_TEST_DIR"))
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.dir = self.scratch / "data"
        self.json = self.scratch / "run.json"

    def expect(self, result, code, *texts):
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        for text in texts:
            self.assertIn(text, result.stdout + result.stderr)

    def measure(self, *arguments):
        """The JSON of a run that goes well and leaves nothing behind, and its result."""
        result = bench(*arguments, "--dir", self.dir, "--json", self.json)
        self.expect(result, FINE)
        self.assertEqual(list(self.dir.iterdir()), [])
        return json.loads(self.json.read_text()), result

    def check_thing(self, thing, rounds):
        self.assertEqual(len(thing["samples"]), rounds)
        for sample in thing["samples"]:
            expected = (sample["limit_before_s"] + sample["limit_after_s"]) / 2 / sample["seconds"]
            self.assertAlmostEqual(sample["ratio"], expected)
        for spread in (thing["ratio"], thing["gb_per_s"], thing["seconds"]):
            self.assertLessEqual(spread["min"], spread["median"])
            self.assertLessEqual(spread["median"], spread["max"])
        self.assertGreater(thing["first"]["seconds"], 0)

    def plot(self, *runs):
        """Where matplotlib is installed: no test needs it."""
        if subprocess.run(["/usr/bin/python3", "-c", "import matplotlib"], capture_output=True).returncode != 0:
            return
        figure = self.scratch / "figure.svg"
        self.expect(subprocess.run([PLOT, *runs, "-o", figure], capture_output=True, text=True, timeout=60), FINE)
        self.assertEqual(xml.etree.ElementTree.parse(figure).getroot().tag, "{http://www.w3.org/2000/svg}svg")

    def test_save(self):
        run, result = self.measure("save", "--workload", "small", "--size", "8MiB", "--rounds", 2, "--engine", "auto,collective")
        self.assertEqual(run["command"], "save")
        self.assertEqual(run["ranks"], 2)
        self.assertEqual(run["workload"], {"name": "small", "tensors": 512, "payload_bytes": 8 << 20,
                                           "held": "sharded"})
        self.assertEqual([kind["kind"].split(",")[0] for kind in run["limit"]["kinds"]], ["a file per rank"] * 2)
        self.assertEqual(len(run["limit"]["samples_s"]), 2 * 3)
        self.assertEqual([thing["name"] for thing in run["things"]], ["auto", "collective"])
        for thing in run["things"]:
            self.check_thing(thing, 2)
            self.assertEqual(list(thing["phase_s"]), sorted(["agree", "plan", "open", "write", "sync", "publish"]))
            self.assertFalse(thing["first"]["plan_reused"])
            self.assertTrue(all(sample["plan_reused"] for sample in thing["samples"]))
        for key in ("cores", "file_system"):
            self.assertIn(key, run["machine"])
        for key in ("muster", "hdf5", "mpi"):
            self.assertIn(key, run["versions"])
        self.assertIn("--size", run["command_line"])
        for words in ("OF LIMIT", "PHASES", "collective", "taken"):
            self.assertIn(words, result.stdout)
        self.assertIn("round 2 of 2", result.stderr)
        self.plot(self.json, self.json)

    def test_load(self):
        run, _ = self.measure("load", "--workload", "llm", "--size", "8MiB", "--rounds", 2)
        self.assertEqual([thing["name"] for thing in run["things"]], ["load"])
        self.check_thing(run["things"][0], 2)
        self.plot(self.json)

    def test_load_into_another_cut_reads_everything_once(self):
        run, _ = self.measure("load", "--workload", "small", "--size", "8MiB", "--rounds", 2, "--held", "columns", "--into",
                              "rows")
        payload = run["workload"]["payload_bytes"]
        thing = run["things"][0]
        for sample in [thing["first"], *thing["samples"]]:
            self.assertGreaterEqual(sample["read_bytes"], payload)
            self.assertLessEqual(sample["read_bytes"], 1.05 * payload)

    def test_replicas_and_every_kind_of_limit(self):
        run, _ = self.measure("save", "--workload", "large", "--size", "16MiB", "--rounds", 1, "--held", "replicated")
        self.assertEqual(len(run["limit"]["kinds"]), 4)
        self.assertEqual(run["things"][0]["samples"][0]["file_bytes"] >> 24, 1)

    def test_saves_in_the_background(self):
        run, result = self.measure("save", "--workload", "llm", "--size", "8MiB", "--rounds", 1, "--engine",
                                   "async,async-overlap,async-writing")
        self.assertIn("OF MEMCPY", result.stdout)
        for thing in run["things"]:
            self.check_thing(thing, 1)
            for name in ("blocked_s", "blocked_of_memcpy", "cpu_s", "publish_s"):
                self.assertGreater(thing[name]["median"], 0)
            self.assertLessEqual(thing["blocked_s"]["median"], thing["seconds"]["median"])

    def test_a_peer(self):
        run, result = self.measure("save", "--workload", "small", "--size", "1MiB", "--rounds", 1, "--against", "h5py")
        names = [thing["name"] for thing in run["things"]]
        if "h5py" in names:
            self.check_thing(run["things"][names.index("h5py")], 1)
        else:  # not installed here
            self.assertEqual(list(run["absent"]), ["h5py"])
            self.assertIn("left out: h5py: ", result.stderr)

    def test_plan(self):
        for held in ("replicated", "zero1", "chunks"):
            result = bench("plan", "--ranks", 64, "--tensors", 100, "--grid", "tp=2,pp=4", "--held", held, "--rounds", 2,
                           "--json", self.json, ranks=0)
            self.expect(result, FINE, "64 ranks", "fullest_rank")
            run = json.loads(self.json.read_text())
            self.assertEqual(len(run["samples"]), 2)
            for what in ("save", "load"):
                for number in ("plan_s", "extents", "fullest_rank_bytes", "exchanged_bytes"):
                    self.assertGreater(run["samples"][0][what][number], 0)

    def test_policy(self):
        result = bench("policy", "--steps", 50, "--work-us", 10, "--rounds", 2, "--json", self.json, ranks=2)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("more with should_save", result.stdout)
        with open(self.json, encoding="utf-8") as file:
            run = json.load(file)
        self.assertEqual(run["ranks"], 2)
        self.assertGreater(run["plain_us"]["median"], 10)
        self.assertGreater(run["call_us"]["median"], 0)

    def test_wrong_usage_is_one_line(self):
        for arguments, words in (
            ([], "no command"),
            (["fly"], "no command 'fly'"),
            (["save"], "--dir is missing"),
            (["save", "--dir", self.dir, "--workload", "huge"], "--workload is 'huge'"),
            (["save", "--dir", self.dir, "--size", "much"], "'much' is no size"),
            (["save", "--dir", self.dir, "--engine", "steam"], "no 'steam'"),
            (["save", "--dir", self.dir, "--against", "pickle"], "no 'pickle'"),
            (["save", "--dir", self.dir, "--engine", ","], "nothing that could be measured"),
            (["save", "--dir", self.dir, "--json", "/none/x.json"], "there is no directory /none"),
            (["plan", "--json", "/"], "a directory, and must be a file"),
            (["save", "--dir", self.dir, "--rounds", "0"], "--rounds is 0"),
            (["load", "--dir", self.dir, "--engine", "direct"], "unrecognised option '--engine'"),
            (["plan", "--ranks", "10", "--grid", "tp=3"], "on 10 ranks"),
            (["plan", "--ranks", "8", "--held", "what"], "--held is 'what'"),
        ):
            result = bench(*arguments, ranks=0)
            self.expect(result, WRONG_USAGE, words)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.expect(bench("save", "--dir", "/proc/none", "--workload", "small", ranks=0), NO_ACCESS, "/proc/none")
        for command in ("save", "load", "plan", "policy"):
            self.expect(bench(command, "--help", ranks=0), FINE, "usage:", "--json")

    def test_a_signal_leaves_nothing_behind(self):
        process = subprocess.Popen(
            [MPIRUN, "-n", "2", BENCH, "save", "--dir", self.dir, "--workload", "small", "--size", "1MiB", "--rounds", "90000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.assertTrue(any("round 2 of" in line for line in process.stderr))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertNotEqual(process.returncode, 0)
        deadline = time.monotonic() + 5
        while list(self.dir.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(list(self.dir.iterdir()), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
