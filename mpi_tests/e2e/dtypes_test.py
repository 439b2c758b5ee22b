#!/usr/bin/env python3
"""Every dtype through save and load, and what h5dump and h5py show of it.

Usage: dtypes_test.py BIN_DIRECTORY MPIRUN TABLE STORED [--write] [--reader PYTHON]...

TABLE (docs/reference/float8.md) says what readers show of each code of the float8 kinds; --write puts what they show now into
it. STORED is the file that muster 0.1.0 with HDF5 1.10.8 and Open MPI 4.1.4 wrote of the same state on 2 ranks. --reader names
an interpreter with another h5py, which must show the same. BIN_DIRECTORY holds muster and dtypes_sample.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
# Name: bits of fraction, bias, the codes of infinity and of the first NaN, and whether negative zero is a NaN.
FLOAT8 = {
    "float8_e5m2": (2, 15, 0x7C, 0x7D, False),
    "float8_e4m3fn": (3, 7, None, 0x7F, False),
    "float8_e5m2fnuz": (2, 16, None, None, True),
    "float8_e4m3fnuz": (3, 8, None, None, True),
}
EXPONENTS = "float8_e8m0fnu"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def true_value(kind, code):
    """What a code means, by the definition of its kind."""
    if kind == EXPONENTS:
        return math.nan if code == 255 else math.ldexp(1, code - 127)
    fraction_bits, bias, infinity, nan, is_zero_nan = FLOAT8[kind]
    rest = code & 0x7F
    if (nan is not None and rest >= nan) or (is_zero_nan and code == 0x80):
        return math.nan
    exponent, fraction = rest >> fraction_bits, rest & ((1 << fraction_bits) - 1)
    if rest == infinity:
        size = math.inf
    elif exponent == 0:
        size = math.ldexp(fraction, 1 - bias - fraction_bits)
    else:
        size = math.ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits)
    return -size if code & 0x80 else size


def text_of(value):
    return repr(float(value)).removesuffix(".0")


def bits_of(name, element):
    """As dtypes_sample has it."""
    size = int(name.removeprefix("uint"))
    bits = element if size == 8 else (2**64 - 1 if element == 255 else element * 0x9E3779B97F4A7C15)
    return bits % 2**size


def read_by_h5py(file):
    """Of each dataset: what h5py shows, as texts; and the bytes as they are in the file."""
    import h5py
    import numpy as np

    shown, raw = {}, {}
    with h5py.File(file, "r") as opened:
        for group in ("model", "cut"):
            for name in (*UNSIGNED, *FLOAT8, EXPONENTS):
                dataset = opened[group][name]
                values = dataset[()].ravel()
                is_float = values.dtype.kind == "f"
                shown[f"/{group}/{name}"] = [text_of(v) if is_float else str(v) for v in values]
                stored = dataset.id.get_type()
                codes = np.empty(dataset.shape, f"V{stored.get_size()}")
                dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, codes, mtype=stored)
                raw[f"/{group}/{name}"] = codes.tobytes().hex()
    return {"version": h5py.__version__, "hdf5": h5py.version.hdf5_version, "shown": shown, "raw": raw}


def read_by_h5dump(file, path, scratch):
    values = scratch / "values.txt"
    subprocess.run(["h5dump", "-y", "-w", "65535", "-m", "%.17g", "-o", values, "-d", path, file], check=True,
                   capture_output=True)
    shown = [text.strip() for text in values.read_text().replace("\n", ",").split(",")]
    return [text for text in shown if text]


def as_number(text):
    return text_of(float(text))


class Checks:
    def __init__(self):
        self.failures = 0

    def that(self, what, holds):
        self.failures += not holds
        print(f"{'fine  ' if holds else 'FAILED'}  {what}")


def check_reader(checks, reader, shown, raw):
    """Of what every reader must show right: the integers and float8_e5m2. And the bytes, where it gives them."""
    for group in ("model", "cut"):
        for name in UNSIGNED:
            expected = [str(bits_of(name, element)) for element in range(256)]
            checks.that(f"{reader} shows /{group}/{name}", shown[f"/{group}/{name}"] == expected)
        numbers = [as_number(text) for text in shown[f"/{group}/float8_e5m2"]]
        checks.that(f"{reader} shows /{group}/float8_e5m2",
                    numbers == [text_of(true_value("float8_e5m2", code)) for code in range(256)])
        for kind in (*FLOAT8, EXPONENTS):
            path = f"/{group}/{kind}"
            checks.that(f"{reader} shows {path} as {kind} in one piece", shown[path] == shown[f"/model/{kind}"])
            if raw:
                checks.that(f"{reader} gives the bytes of {path}", bytes.fromhex(raw[path]) == bytes(range(256)))


def cell(kind, code, shown):
    true = text_of(true_value(kind, code))
    now = as_number(shown)
    return true if now == true else f"{true} → {now}"


def table_of(by_h5py, by_h5dump):
    kinds = list(FLOAT8)
    lines = [f"| code | {' | '.join(kinds)} | {EXPONENTS} | h5dump | h5py |", "| --- " * (len(kinds) + 4) + "|"]
    for code in range(256):
        cells = [cell(kind, code, by_h5py[f"/model/{kind}"][code]) for kind in kinds]
        true = true_value(EXPONENTS, code)
        power = "nan" if code == 255 else f"2^{code - 127}"
        assert math.isnan(true) or true == 2.0 ** (code - 127)
        shown = [by[f"/model/{EXPONENTS}"][code] for by in (by_h5dump, by_h5py)]
        lines.append(f"| {code:02x} | {' | '.join(cells)} | {power} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def check_table(checks, page, table, write):
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    if write:
        page.write_text(before + BEGIN + table + END + after, encoding="utf-8")
    else:
        checks.that(f"{page.name} has the table that readers make", old == table)


def check_muster(checks, bin_directory, directory):
    shown = subprocess.run([bin_directory / "muster", "show", directory, "--tag", "direct", "--tensors", "--json"],
                           check=True, capture_output=True, text=True)
    dtypes = {t["path"]: t["dtype"] for t in json.loads(shown.stdout)["tensors"]}
    listed = subprocess.run([bin_directory / "muster", "show", directory, "--tag", "direct", "--tensors"], check=True,
                            capture_output=True, text=True).stdout
    for name in (*UNSIGNED, *FLOAT8, EXPONENTS):
        checks.that(f"muster show names {name}", dtypes[f"/model/{name}"] == name and dtypes[f"/cut/{name}"] == name
                    and any(line.split()[:2] == [f"/model/{name}", name] for line in listed.splitlines()))


def check_refusal(checks, bin_directory, mpirun, directory):
    """A file with a datatype that muster does not have, sound in all else."""
    file = directory / "direct.h5"
    subprocess.run([bin_directory / "dtypes_sample", "make_foreign", file], check=True)
    message = "/model/uint16 has an HDF5 datatype that muster"
    what = "unsigned integer of 24 bits"
    for command in (["muster", "show", file], ["muster", "show", file, "--json"], ["muster", "verify", file],
                    ["muster", "verify", file, "--json"], [mpirun, "-n", "2", bin_directory / "muster", "verify", file],
                    [mpirun, "-n", "2", bin_directory / "dtypes_sample", "load", directory, "direct"]):
        command = [bin_directory / command[0] if command[0] == "muster" else command[0], *command[1:]]
        result = subprocess.run(command, capture_output=True, text=True)
        said = result.stdout + result.stderr
        checks.that(f"{' '.join(pathlib.Path(word).name for word in command)} refuses a foreign datatype by name",
                    result.returncode == 1 and all(text in said for text in (str(file), message, what)))
        if result.returncode != 1 or what not in said:
            print(command, result.returncode, said)


def parts_of(file):
    """What docs/reference/format.md says of a file: head, /run, /telemetry, /integrity, and all that lies behind the tables."""
    import h5py

    raw = file.read_bytes()
    with h5py.File(file, "r") as opened:
        integrity = opened["integrity"][()]
        run, telemetry = json.loads(opened["run"][()]), opened["telemetry"][()]
        # What is stored as a reference is an address in the file, and h5py gives it only as an object.
        offset = opened["integrity"].id.get_offset()
    head_bytes, tables_bytes = (int(row["bytes"]) for row in integrity[:2])
    rows = raw[offset:offset + 40 * len(integrity)]
    return {"head": raw[:head_bytes], "payload": raw[head_bytes + tables_bytes:], "run": run, "telemetry": telemetry,
            "integrity": rows[:64] + rows[72:]}  # but for the hash of the tables themselves


def check_stored(checks, bin_directory, mpirun, directory, stored, scratch):
    """The file of another HDF5 and MPI: it loads here, and what is written here has its bytes."""
    before, now = parts_of(stored), parts_of(directory / "direct.h5")
    for part in "head", "payload", "integrity":
        checks.that(f"{part} has the bytes of {stored.name}", before[part] == now[part])
    may_differ = {"saved_at", "hdf5_version", "mpi_version", "muster_version"}
    differ = {key for key in before["run"].keys() | now["run"].keys() if before["run"].get(key) != now["run"].get(key)}
    checks.that(f"/run differs in {', '.join(sorted(differ))} only", differ <= may_differ)
    for field in before["telemetry"].dtype.names:
        if not field.endswith("_s"):
            checks.that(f"/telemetry has the same {field}", (before["telemetry"][field] == now["telemetry"][field]).all())
    other = scratch / "stored"
    other.mkdir()
    shutil.copy(stored, other / "direct.h5")
    for command in ([mpirun, "-n", "3", bin_directory / "dtypes_sample", "load", other, "direct"],
                    [bin_directory / "muster", "verify", other]):
        checks.that(f"{pathlib.Path(command[-2]).name} {pathlib.Path(command[-1]).name} of {stored.name}",
                    subprocess.run(command).returncode == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_directory", type=pathlib.Path)
    parser.add_argument("mpirun")
    parser.add_argument("table", type=pathlib.Path)
    parser.add_argument("stored", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--reader", action="append", default=[])
    arguments = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="muster-dtypes-", dir=os.environ.get("MUSTER_TEST_DIR")) as name:
        scratch = pathlib.Path(name)
        directory = scratch / "ckpts"
        for ranks, command in (2, ["save", directory]), (3, ["load", directory, "direct", "collective"]):
            subprocess.run([arguments.mpirun, "-n", str(ranks), arguments.bin_directory / "dtypes_sample", *command],
                           check=True)
        for tag in ("direct", "collective"):
            file = directory / f"{tag}.h5"
            by_h5py = read_by_h5py(file)
            check_reader(checks, f"h5py {by_h5py['version']} ({tag})", by_h5py["shown"], by_h5py["raw"])
            by_h5dump = {path: read_by_h5dump(file, path, scratch) for path in by_h5py["shown"]}
            check_reader(checks, f"h5dump ({tag})", by_h5dump, None)
        for kind in FLOAT8:
            path = f"/model/{kind}"
            checks.that(f"h5dump shows {path} as h5py does",
                        list(map(as_number, by_h5dump[path])) == list(map(as_number, by_h5py["shown"][path])))
        for python in arguments.reader:
            other = json.loads(subprocess.run([python, __file__, "--read", file], check=True, capture_output=True,
                                              text=True).stdout)
            same = other["shown"] == by_h5py["shown"] and other["raw"] == by_h5py["raw"]
            checks.that(f"h5py {other['version']} with HDF5 {other['hdf5']} shows the same", same)
        check_table(checks, arguments.table, table_of(by_h5py["shown"], by_h5dump), arguments.write)
        check_stored(checks, arguments.bin_directory, arguments.mpirun, directory, arguments.stored, scratch)
        check_muster(checks, arguments.bin_directory, directory)
        check_refusal(checks, arguments.bin_directory, arguments.mpirun, directory)
    sys.exit(1 if checks.failures else 0)


if len(sys.argv) == 3 and sys.argv[1] == "--read":  # in another interpreter
    json.dump(read_by_h5py(sys.argv[2]), sys.stdout)
else:
    main()
