#!/usr/bin/python3
"""Other ways to save what muster-bench saves. Started by muster-bench under mpirun; not meant to be run by hand.

usage: bench-peers.py PEER WORKLOAD.json DIRECTORY sharded|replicated

PEER is torch-save (a file per rank), torch-save-tensors (a file per tensor) or h5py (one file, collective transfers).
WORKLOAD.json lists {"path", "dtype", "shape", "holder"}.

Rank 0 answers with lines `bench-peer {...}`: first what is "missing", or nothing; then reads lines from standard input:
"go N" saves once, durably, and is answered with "seconds", "phase_s" and "peak_bytes", the slowest rank's. The end of
input ends the job.
"""
import importlib.util
import json
import math
import os
import sys
import time

PACKAGES = {
    "torch-save": {"torch": "python3-torch", "mpi4py": "python3-mpi4py", "numpy": "python3-numpy"},
    "h5py": {"h5py": "python3-h5py-mpi", "mpi4py": "python3-mpi4py", "numpy": "python3-numpy"},
}
PACKAGES["torch-save-tensors"] = PACKAGES["torch-save"]

WAIT_TAG = 1
IDLE_S = 0.01


def missing_packages(peer):
    return [package for module, package in PACKAGES[peer].items() if importlib.util.find_spec(module) is None]


def sync_path(path):
    """fsync of a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def status_bytes(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


class PeakMemory:
    """Bytes in use at the worst moment above those in use at the start."""

    def __init__(self):
        try:
            with open("/proc/self/clear_refs", "w") as reset:
                reset.write("5")
            self.before = status_bytes("VmRSS")
        except OSError:
            self.before = None

    def bytes(self):
        return 0 if self.before is None else max(0, status_bytes("VmHWM") - self.before)


def random_bytes(count, seed):
    import numpy

    return numpy.random.Generator(numpy.random.SFC64(seed)).integers(0, 256, count, dtype=numpy.uint8)


class TorchSave:
    """Each rank saves a dict of its tensors; replicas are saved by rank 0 alone, as training scripts do."""

    def __init__(self, comm, tensors, directory, held, per_tensor):
        import torch

        torch.set_num_threads(1)
        self.rank = comm.Get_rank()
        self.directory = directory
        self.per_tensor = per_tensor
        self.save_one = torch.save
        self.tensors = {}
        for index, tensor in enumerate(tensors):
            holder = 0 if held == "replicated" else tensor["holder"]
            if holder != self.rank:
                continue
            dtype = getattr(torch, tensor["dtype"])
            data = torch.empty(tensor["shape"], dtype=dtype)
            size = data.numel() * data.element_size()
            if size:
                data.view(-1).view(torch.uint8).numpy()[:] = random_bytes(size, index)
            self.tensors[tensor["path"]] = data

    def write(self, turn):
        if not self.tensors:
            return []
        if not self.per_tensor:
            files = {os.path.join(self.directory, f"{turn}.rank_{self.rank}.pt"): self.tensors}
        else:
            files = {
                os.path.join(self.directory, f"{turn}.rank_{self.rank}.{i}.pt"): tensor
                for i, tensor in enumerate(self.tensors.values())
            }
        for path, content in files.items():
            self.save_one(content, path)
        return list(files)

    def sync(self, files):
        for path in files:
            sync_path(path)
        sync_path(self.directory)


class H5py:
    """One file for all ranks. Replicas are written by the rank that would hold the tensor if it were not replicated."""

    def __init__(self, comm, tensors, directory):
        import h5py
        import numpy

        if not h5py.get_config().mpi:
            raise ImportError("this h5py has no MPI (python3-h5py-mpi)")
        self.h5py = h5py
        self.comm = comm
        self.rank = comm.Get_rank()
        self.directory = directory
        self.tensors = []
        for index, tensor in enumerate(tensors):
            dtype = numpy.dtype({"bfloat16": "uint16"}.get(tensor["dtype"], tensor["dtype"]))  # numpy has no bfloat16
            data = None
            if tensor["holder"] == self.rank:
                noise = random_bytes(math.prod(tensor["shape"]) * dtype.itemsize, index)
                data = noise.view(dtype).reshape(tensor["shape"])
            self.tensors.append((tensor["path"], tuple(tensor["shape"]), dtype, data))

    def write(self, turn):
        h5py = self.h5py
        path = os.path.join(self.directory, f"{turn}.h5")
        transfer = h5py.h5p.create(h5py.h5p.DATASET_XFER)
        transfer.set_dxpl_mpio(h5py.h5fd.MPIO_COLLECTIVE)
        with h5py.File(path, "w", driver="mpio", comm=self.comm, libver="latest") as file:
            datasets = [file.create_dataset(name, shape, dtype) for name, shape, dtype, _ in self.tensors]
            for dataset, (_, shape, dtype, data) in zip(datasets, self.tensors):
                if data is not None:
                    dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, data, dxpl=transfer)
                else:
                    self.take_part(dataset, dtype, transfer)
            file.flush()
        return [path]

    def take_part(self, dataset, dtype, transfer):
        """Enters the collective write of a tensor that another rank holds."""
        import numpy

        nothing = dataset.id.get_space()
        nothing.select_none()
        dataset.id.write(nothing, nothing, numpy.empty((1,), dtype), dxpl=transfer)

    def sync(self, files):
        for path in files:
            sync_path(path)
        if self.rank == 0:
            sync_path(self.directory)


def make_peer(name, comm, tensors, directory, held):
    if name.startswith("torch-save"):
        return TorchSave(comm, tensors, directory, held, per_tensor=name == "torch-save-tensors")
    return H5py(comm, tensors, directory)


def next_command(comm):
    """Rank 0's next line on all ranks. Nobody spins meanwhile: muster and other peers are being measured."""
    from mpi4py import MPI

    if comm.Get_rank() == 0:
        line = sys.stdin.readline()
        for rank in range(1, comm.Get_size()):
            comm.send(line, dest=rank, tag=WAIT_TAG)
        return line.split()
    while not comm.Iprobe(source=0, tag=WAIT_TAG):
        time.sleep(IDLE_S)
    return comm.recv(source=0, tag=WAIT_TAG).split()


def save_once(peer, comm, turn):
    """What happened on this rank."""
    memory = PeakMemory()
    comm.Barrier()
    start = time.perf_counter()
    try:
        files = peer.write(turn)
        written = time.perf_counter()
        peer.sync(files)
        done = time.perf_counter()
    except Exception as error:  # told to muster-bench, which knows what to do
        return {"failed": f"rank {comm.Get_rank()}: {error}"}
    return {"seconds": done - start, "write": written - start, "sync": done - written, "peak_bytes": memory.bytes()}


def summary(told):
    failures = [rank["failed"] for rank in told if "failed" in rank]
    if failures:
        return {"failed": "; ".join(failures)}
    most = {key: max(rank[key] for rank in told) for key in told[0]}
    return {
        "seconds": most["seconds"],
        "phase_s": {"write": most["write"], "sync": most["sync"]},
        "peak_bytes": most["peak_bytes"],
    }


def answer(comm, content):
    if comm.Get_rank() == 0:
        print("bench-peer " + json.dumps(content), flush=True)


def run(name, workload, directory, held):
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    with open(workload) as source:
        tensors = json.load(source)
    problem = None
    peer = None
    try:
        peer = make_peer(name, comm, tensors, directory, held)
    except Exception as error:
        problem = str(error)
    problems = [told for told in comm.allgather(problem) if told]
    if problems:
        answer(comm, {"missing": problems[0]})
        return
    answer(comm, {})
    while command := next_command(comm):
        told = comm.gather(save_once(peer, comm, command[1]), root=0)
        answer(comm, summary(told) if told else None)


def main(arguments):
    if len(arguments) != 4 or arguments[0] not in PACKAGES:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if missing := missing_packages(arguments[0]):
        print("bench-peer " + json.dumps({"missing": "needs " + ", ".join(missing)}), flush=True)
        return 0
    run(*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
