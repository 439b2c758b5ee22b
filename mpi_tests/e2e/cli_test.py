#!/usr/bin/env python3
"""The command `muster` as a person and a script use it.

Usage: cli_test.py BIN_DIRECTORY MPIRUN   (BIN_DIRECTORY holds muster, make_checkpoints and grid_load)
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(sys.argv[1])
MPIRUN = sys.argv[2]
FINE, NOT_SO, WRONG_USAGE, NO_ACCESS = 0, 1, 2, 3


def muster(*arguments, ranks=None):
    launcher = [MPIRUN, "-n", str(ranks)] if ranks else []
    return subprocess.run([*launcher, BIN / "muster", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def flip_byte(file, offset):
    with open(file, "r+b") as data:
        data.seek(offset)
        byte = data.read(1)[0]
        data.seek(offset)
        data.write(bytes([byte ^ 0x40]))


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="muster-cli-", dir=os.environ.get("MUSTER_TEST_DIR"))
        cls.original = pathlib.Path(cls.scratch.name) / "original"
        subprocess.run([MPIRUN, "-n", "2", BIN / "make_checkpoints", cls.original], check=True, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=self.scratch.name)) / "ckpts"
        shutil.copytree(self.original, self.dir)

    def tag(self, step):
        return self.dir / f"step_{step}.h5"

    def payload_offset(self, step, path):
        shown = json.loads(muster("show", self.tag(step), "--tensors", "--json").stdout)
        return next(t["offset"] for t in shown["tensors"] if t["path"] == path)

    def expect(self, result, code, *texts):
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        for text in texts:
            self.assertIn(text, result.stdout + result.stderr)

    def test_ls_shows_newest_first_whatever_the_times(self):
        os.utime(self.tag(10))
        result = muster("ls", self.dir)
        self.expect(result, FINE, "TAG", "POINTERS")
        tags = [line.split()[0] for line in result.stdout.splitlines()[1:]]
        self.assertEqual(tags, ["step_30", "step_20", "step_10"])
        self.assertRegex(result.stdout, r"step_30 +30 .* 2 +sound +latest")
        listed = json.loads(muster("ls", self.dir, "--json").stdout)
        self.assertEqual([t["sequence"] for t in listed["tags"]], [3, 2, 1])

    def test_ls_names_damaged_and_unfinished_files(self):
        flip_byte(self.tag(20), 100)   # HDF5's own checksum finds it
        flip_byte(self.tag(10), 5000)  # nobody's but muster's: behind the last metadata, still in the head
        (self.dir / ".step_40.h5.part").write_bytes(b"half")
        result = muster("ls", self.dir)
        self.expect(result, FINE, "damaged: ", "step_20.h5: open", "incorrect metadata checksum", "step_10.h5: the head",
                    "unfinished: .step_40.h5.part")
        self.assertEqual(result.stderr, "")

    def test_show_tells_what_is_inside(self):
        result = muster("show", self.dir, "--tensors")
        self.expect(result, FINE, "step_30", "sequence   3", '{"total_steps":30}', "/model/fc.weight", "[300, 1000]",
                    "direct (auto: one node", "float64")
        shown = json.loads(muster("show", self.dir, "--tag", "step_10", "--json").stdout)
        self.assertEqual(shown["documents"]["/user_content"], {"total_steps": 10})
        self.assertEqual(shown["sections"]["/model"], {"tensors": 2, "bytes": 1200040})
        self.assertEqual([row["rank"] for row in shown["telemetry"]], [0, 1])

    def test_show_tells_the_chunks_of_tensors_that_have_some(self):
        grids = self.dir / "grids"
        subprocess.run([MPIRUN, "-n", "2", BIN / "grid_load", "save", grids, "weights"], check=True, timeout=60)
        shown = json.loads(muster("show", grids, "--tensors", "--json").stdout)["tensors"]
        chunks = {tensor["path"]: tensor["chunk"] for tensor in shown}
        for layer in range(4):  # row parallel over two ranks; all else is cut along dimension 0, or not
            self.assertEqual(chunks.pop(f"/model/blocks.{layer}.out.weight"), [256, 128])
        self.assertEqual([path for path, chunk in chunks.items() if chunk and path.startswith("/model/")], [])
        text = muster("show", grids, "--tensors")
        self.expect(text, FINE, "CHUNK")
        self.assertRegex(text.stdout, r"/model/blocks.0.out.weight +float32 +\[256, 256\] +\[256, 128\] +\d+ +\d+ +0,1")
        self.assertRegex(text.stdout, r"/model/blocks.0.norm.weight +float32 +\[256\] +- +\d+")

    def test_verify_passes_what_is_sound(self):
        self.expect(muster("verify", self.dir), FINE, "step_30.h5: sound", "every byte checked")
        result = muster("verify", self.dir, "--all", "--json")
        outcomes = json.loads(result.stdout)
        self.assertEqual([o["sound"] for o in outcomes], [True] * 3)
        self.assertEqual(outcomes[0]["bytes"], self.tag(30).stat().st_size)

    def test_verify_of_all_is_not_so_where_any_is_damaged(self):
        for damaged in (30, 20, 10):
            offset = self.payload_offset(damaged, "/model/fc.weight")
            flip_byte(self.tag(damaged), offset)
            for ranks in (None, 2):
                result = muster("verify", self.dir, "--all", "--json", ranks=ranks)
                self.expect(result, NOT_SO)
                sound = [outcome["sound"] for outcome in json.loads(result.stdout)]
                self.assertEqual(sound, [step != damaged for step in (30, 20, 10)])
            flip_byte(self.tag(damaged), offset)

    def test_verify_names_tensor_bytes_and_writer(self):
        flip_byte(self.tag(30), self.payload_offset(30, "/model/fc.weight") + 7)
        for ranks in (None, 2, 3):
            result = muster("verify", self.tag(30), ranks=ranks)
            self.expect(result, NOT_SO, "damaged: ", "/model/fc.weight bytes [0, ", "written by rank 0", "saved was")

    def test_verify_answers_for_every_byte(self):
        size = self.tag(10).stat().st_size
        for offset in [*range(0, size, 9973), size - 1]:
            flip_byte(self.tag(10), offset)
            self.expect(muster("verify", self.tag(10)), NOT_SO, "damaged: ")
            flip_byte(self.tag(10), offset)
        self.expect(muster("verify", self.tag(10)), FINE)
        with open(self.tag(10), "ab") as data:
            data.write(b"\0")
        self.expect(muster("verify", self.tag(10)), NOT_SO, "bytes, saved were")
        os.truncate(self.tag(10), size // 2)
        self.expect(muster("verify", self.tag(10)), NOT_SO, "damaged: ")

    def test_latest_is_what_a_resume_takes(self):
        self.assertEqual(muster("latest", self.dir).stdout, "step_30\n")
        (self.dir / "latest").write_text("step_99\n")
        self.expect(muster("latest", self.dir), FINE, "step_30", "names step_99")
        flip_byte(self.tag(30), self.payload_offset(30, "/model/fc.weight"))
        self.assertEqual(muster("latest", self.dir, "--verify").stdout, "step_20\n")
        flip_byte(self.tag(20), 50)
        self.assertEqual(muster("latest", self.dir, "--verify").stdout, "step_10\n")
        self.tag(10).unlink()
        self.expect(muster("latest", self.dir, "--verify"), NOT_SO, "no sound checkpoint")

    def test_a_damaged_head_of_the_latest_does_not_go_unnoticed(self):
        flip_byte(self.tag(30), 5000)
        self.expect(muster("verify", self.dir), NOT_SO, "damaged: ", "step_30.h5: the head")
        self.expect(muster("show", self.dir), NOT_SO, "step_30.h5: the head")
        flip_byte(self.tag(30), 5000)
        flip_byte(self.tag(10), 5000)
        self.expect(muster("verify", self.dir), FINE, "step_30.h5: sound", "skipping tag step_10")

    def test_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([BIN / "muster", "ls", self.dir], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, NO_ACCESS)

    def test_only_regular_files_are_opened(self):
        os.mkfifo(self.dir / "fifo.h5")
        self.expect(muster("verify", self.dir / "fifo.h5"), NOT_SO, "not a regular file")

    def test_stats_tells_what_saves_cost(self):
        told = json.loads(muster("stats", self.dir, "--json").stdout)["saves"]
        self.assertGreater(len(told), 1)
        for save in told:
            self.assertEqual(save["outcome"], "published")
            self.assertEqual(len(save["ranks"]["bytes"]), 2)
            self.assertGreater(save["save_s"], 0)
        self.expect(muster("stats", self.dir), FINE, "BLOCKED ms", "slowest most often: rank")
        self.assertEqual(len(json.loads(muster("stats", self.dir, "--last", 1, "--json").stdout)["saves"]), 1)
        # A line cut short by a crash is left out.
        with open(self.dir / "history.jsonl", "a") as history:
            history.write('{"tag": "half')
        self.assertEqual(len(json.loads(muster("stats", self.dir, "--json").stdout)["saves"]), len(told))
        (self.dir / "history.jsonl").unlink()
        self.expect(muster("stats", self.dir), NOT_SO, "no history")
        self.expect(muster("stats", self.dir / "nowhere"), NO_ACCESS, "nowhere")

    def test_prune_keeps_the_newest_and_something_good(self):
        self.expect(muster("prune", self.dir, "--keep-last", 2, "--dry-run"), FINE, "would delete step_10")
        self.assertTrue(self.tag(10).exists())
        flip_byte(self.tag(30), self.payload_offset(30, "/model/fc.weight"))
        self.expect(muster("prune", self.dir, "--keep-last", 1), NOT_SO, "nothing deleted")
        self.assertTrue(self.tag(20).exists())
        self.expect(muster("prune", self.dir, "--keep-last", 2), FINE, "deleted step_10")
        self.assertEqual(sorted(p.name for p in self.dir.glob("*.h5")), ["step_20.h5", "step_30.h5"])

    def test_dry_run_says_what_a_load_will_read(self):
        load = BIN / "grid_load"
        for saved in ("weights", "masters"):
            subprocess.run([MPIRUN, "-n", "2", load, "save", self.dir / saved, saved], check=True, timeout=60)
        rules = ["*.out.*=row", "*.qkv.*=fused:3", "embedding.*=vocabulary", "head.*=vocabulary"]
        apart = "MUSTER_FAILPOINT=node.own@1:pretend,node.own@2:pretend,node.own@3:pretend"
        two_nodes = "MUSTER_FAILPOINT=node.own@2:pretend"
        # How the ranks of a real job can be made to take themselves for those of several nodes.
        nodes = [(4, 1, apart), (3, 2, two_nodes)] if os.environ.get("MUSTER_TEST_FAILPOINTS") else []
        jobs = [(ranks, tp, pp, held, ranks, None) for ranks, tp, pp, held in (
            (4, 2, 2, "replicated"), (4, 2, 1, "zero1"), (3, 1, 1, "zero1"), (4, 4, 1, "replicated"), (4, 2, 1, "masters"),
            (1, 1, 1, "masters"))]
        jobs += [(ranks, 1, 1, held, per_node, pretence) for ranks, per_node, pretence in nodes
                 for held in ("replicated", "zero1", "masters")]
        for ranks, tp, pp, held, per_node, pretence in jobs:
            with self.subTest(ranks=ranks, tp=tp, pp=pp, held=held, per_node=per_node):
                saved = self.dir / ("masters" if held == "masters" else "weights")
                launch = [MPIRUN, "-n", str(ranks), *(["env", pretence] if pretence else [])]
                real = json.loads(subprocess.run([*launch, load, "load", saved, str(tp), str(pp), held, *rules],
                                                 check=True, timeout=60, capture_output=True, text=True).stdout)
                options = ["--ranks", ranks, "--ranks-per-node", per_node, "--grid", f"tp={tp},pp={pp}"]
                options += [] if held == "replicated" else ["--zero1"]
                for rule in rules:
                    options += ["--rule", rule]
                result = muster("dry-run", saved, *options, "--json")
                self.expect(result, FINE)
                told = json.loads(result.stdout)
                for what in ("read_bytes", "buffer_bytes"):
                    self.assertEqual([rank[what] for rank in told["per_rank"]], real[what], what)
                self.assertEqual(told["read_bytes"], sum(real["read_bytes"]))
                self.assertEqual(sum(rank["received_bytes"] for rank in told["per_rank"]), told["sent_bytes"])
                self.assertEqual(told["sent_bytes"] > 0, per_node < ranks)
                self.expect(muster("dry-run", saved, *options, "--all"), FINE, "would work", "RECEIVES")

    def test_dry_run_names_what_the_program_wants_and_the_file_lacks(self):
        keys = self.dir / "keys"
        keys.write_text("/model/fc.weight\n\n/model/gc.weight\n/user_content\n")
        result = muster("dry-run", self.dir, "--ranks", 2, "--keys", keys)
        self.expect(result, NOT_SO, "missing in the checkpoint: /model/gc.weight", "would not work")
        self.assertNotIn("missing in the checkpoint: /model/fc", result.stdout)
        told = muster("dry-run", self.dir, "--ranks", 2, "--keys", keys, "--json")
        self.expect(told, NOT_SO)
        self.assertEqual(json.loads(told.stdout)["problems"], ["missing in the checkpoint: /model/gc.weight"])
        keys.write_text("/model/fc.weight")
        self.expect(muster("dry-run", self.dir, "--ranks", 2, "--keys", keys), FINE, "would work", "not wanted")
        self.expect(muster("dry-run", self.dir, "--ranks", 2, "--keys", self.dir / "none"), WRONG_USAGE, "--keys")

    def test_dry_run_says_what_does_not_fit(self):
        options = ["--ranks", 4, "--grid", "tp=4"]
        self.expect(muster("dry-run", self.dir, *options, "--rule", "fc.*=fused:7"), NOT_SO, "would not work", "fc.weight")
        self.expect(muster("dry-run", self.dir, *options, "--rule", "gc.*=row"), NOT_SO, "rule gc.*")
        self.expect(muster("dry-run", self.dir, "--ranks", 2, "--grid", "pp=2"), NOT_SO, "2 pipeline stages")
        for wrong, words in (([], "--ranks is missing"), (["--ranks", 3, "--grid", "tp=2"], "--grid"),
                             (["--ranks", 2, "--grid", "xx=2"], "--grid"), (["--ranks", 2, "--rule", "fc=what"], "--rule"),
                             (["--ranks", 2, "--ranks-per-node", 0], "--ranks-per-node")):
            self.expect(muster("dry-run", self.dir, *wrong), WRONG_USAGE, words)

    def test_wrong_usage_is_one_line_and_code_2(self):
        self.assertEqual(muster("verify", self.dir, "--all", "--tag", "x", ranks=2).returncode, WRONG_USAGE)
        for arguments in (["frobnicate"], [], ["ls"], ["ls", "a", "b"], ["verify", self.dir, "--bogus"],
                          ["prune", self.dir], ["prune", self.dir, "--keep-last", 0],
                          ["verify", self.dir, "--all", "--tag", "x"], ["show", self.dir, "--tag", "a/b"],
                          ["stats", self.dir, "--last", 0], ["stats", self.dir, "--last", -1]):
            result = muster(*arguments)
            self.assertEqual(result.returncode, WRONG_USAGE, arguments)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_what_is_not_there_is_said(self):
        empty = self.dir / "empty"
        empty.mkdir()
        self.expect(muster("ls", empty), NOT_SO, "no checkpoints in")
        self.expect(muster("verify", empty), NOT_SO, "no sound checkpoint in")
        self.expect(muster("latest", empty), NOT_SO)
        self.expect(muster("verify", self.dir, "--tag", "nope"), NOT_SO, "nope.h5")
        self.expect(muster("ls", self.dir / "nowhere"), NO_ACCESS, "no such directory", "nowhere")
        self.expect(muster("ls", self.tag(10)), NO_ACCESS, "not a directory")
        self.expect(muster("dry-run", self.dir), WRONG_USAGE, "(see muster dry-run --help)")
        self.expect(muster("show", self.dir / "nowhere"), NO_ACCESS, "nowhere")

    def test_help_teaches(self):
        self.expect(muster("--help"), FINE, "exit codes", "muster verify")
        for command in ("ls", "show", "verify", "latest", "prune", "dry-run"):
            self.expect(muster(command, "--help"), FINE, f"usage: muster {command}", "--json")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
