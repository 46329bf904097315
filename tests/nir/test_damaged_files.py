"""Damaged and malicious files: an error that names the file, soon and without much memory; nothing of them is run."""

import resource
import warnings
from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

import norse
from norse.backends.nir_export import hdf5

DATA = Path(__file__).parents[1] / "data" / "nir"
F = np.float32
MIB = 2**20


def write(path, nodes, shape):
    """Input -> nodes, one after the other -> Output, as they are."""
    every = {"input": nir.Input({"input": np.array(shape)}), **nodes, "output": nir.Output({"output": np.array([1])})}
    names = list(every)
    nir.write(path, nir.NIRGraph(every, list(pairwise(names)), type_check=False))
    return path


def refused(path):
    """The message, which names the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((OSError, ValueError), match=r"norse\.from_nir: ") as error:
            norse.from_nir(path)
    assert path.name in str(error.value)
    return str(error.value)


def corrupted(content, seed):
    """One of the ways in which files break: bytes, bits, lengths and addresses, parts of it moved."""
    random, bad = np.random.default_rng(seed), bytearray(content)
    places = random.integers(0, len(bad) - 8, random.integers(1, 30))
    if seed % 4 == 0:
        for place in places:
            bad[place] = random.integers(0, 256)
    elif seed % 4 == 1:
        for place in places[:5]:
            bad[place] ^= 1 << int(random.integers(0, 8))
    elif seed % 4 == 2:
        choices = (b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f\0\0\0\0")
        bad[places[0] : places[0] + 8] = choices[random.integers(0, 3)]
    else:
        length, other = int(random.integers(1, 200)), int(random.integers(0, len(bad) - 200))
        bad[places[0] : places[0] + length] = bad[other : other + length]
    return bytes(bad[: len(content)])


def most_memory():
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024


def test_a_thousand_corruptions_are_errors_or_harmless(tmp_path):
    """Of the real files. What the HDF5 library does on some of them, a crash or an endless loop, stays outside."""
    norse.from_nir(DATA / "cnn_sinabs.nir")
    before, counts = most_memory(), {"refused": 0, "loaded": 0}
    for seed in range(1000):
        name = ("lif_norse.nir", "lif_rockpool.nir", "cnn_sinabs.nir")[
            0 if seed % 10 < 5 else 1 if seed % 10 < 9 else 2
        ]
        bad = tmp_path / "bad.nir"
        bad.write_bytes(corrupted((DATA / name).read_bytes(), seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                norse.from_nir(bad)
                counts["loaded"] += 1  # the damage is in a weight, in what nothing reads, or was repaired
            except (OSError, ValueError) as error:
                assert "bad.nir" in str(error), seed
                counts["refused"] += 1
    print("\n1000 corruptions:", counts)
    assert counts["refused"] > 200
    assert most_memory() - before < 500 * MIB


class TestTheProcess:
    """What reads HDF5 for this process, here by scripts that do what the library does on some files."""

    @pytest.fixture
    def instead(self, tmp_path, monkeypatch):
        def script(what):
            path = tmp_path / "script.py"
            path.write_text(
                "import os, signal, sys, time\nsys.stdout.buffer.write(b'ready\\n')\nsys.stdout.flush()\n"
                f"sys.stdin.readline()\n{what}\n"
            )
            monkeypatch.setattr(hdf5, "_SCRIPT", path)
            hdf5._end()

        yield script
        hdf5._end()

    @pytest.mark.parametrize(
        ("what", "message"),
        [
            ("os.kill(os.getpid(), signal.SIGSEGV)", "it ended the process that read it"),
            ("os._exit(0)", "it ended the process that read it"),
            ("os.kill(os.getpid(), signal.SIGPROF)", "reading it does not come to an end"),
            ("print('no json', flush=True)", "it ended the process that read it"),
        ],
    )
    def test_that_dies_or_lies_makes_an_error_and_a_new_one_reads_on(self, instead, what, message, monkeypatch):
        real = hdf5._SCRIPT
        instead(what)
        assert message in refused(DATA / "lif_norse.nir")
        monkeypatch.setattr(hdf5, "_SCRIPT", real)
        norse.from_nir(DATA / "lif_norse.nir", dt=1e-4)

    def test_ends_after_a_part_of_a_second_of_the_processor(self, tmp_path):
        """The real one, with no time at all for a real file."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hdf5, "SECONDS", 1e-6)
            patch.setattr(hdf5, "BYTES_A_SECOND", 1e12)
            assert "does not come to an end" in refused(DATA / "cnn_sinabs.nir")
        norse.from_nir(DATA / "cnn_sinabs.nir")
        assert hdf5.SECONDS < 0.5


class TestAbsurdSizes:
    def test_an_array_that_is_larger_than_its_file_can_hold(self, tmp_path):
        file = write(tmp_path / "a.nir", {"a": nir.Linear(np.ones((1, 2), F))}, [2])
        with h5py.File(file, "a") as content:
            del content["node/nodes/a/weight"]
            content.create_dataset("node/nodes/a/weight", (10**6, 10**6), F, chunks=(100, 100), compression="gzip")
        assert "/node/nodes/a/weight: expected no more than a file of this size can hold" in refused(file)

    def test_groups_in_each_other_without_an_end(self, tmp_path):
        with h5py.File(tmp_path / "a.nir", "w") as content:
            content.create_group("node/" + "/".join(["n"] * 100))
        assert "expected at most 64 groups in each other" in refused(tmp_path / "a.nir")

    def test_a_group_that_holds_itself(self, tmp_path):
        file = write(tmp_path / "a.nir", {"a": nir.Linear(np.ones((1, 2), F))}, [2])
        with h5py.File(file, "a") as content:
            content["node/nodes/itself"] = content["node"]
        assert "expected at most 64 groups in each other" in refused(file)

    @pytest.mark.parametrize(
        ("shape", "node", "message"),
        [
            ([10**9, 10**9], nir.Linear(np.ones((1, 2), F)), "expected a shape of at most"),
            ([1, 8, 8], nir.SumPool2d(*(np.array([n, n]) for n in (0, 0, 0))), "it can't take samples"),
            ([1, 8, 8], nir.SumPool2d(*(np.array([n, n]) for n in (2**40, 1, 0))), "it can't take samples"),
            ([1], nir.Delay(np.array([1e30], F)), "expected at most 1048576 ticks"),
        ],
    )
    def test_of_a_node(self, shape, node, message, tmp_path):
        assert message in refused(write(tmp_path / "a.nir", {"n": node}, shape))

    @pytest.mark.parametrize(
        ("field", "value"),
        [("groups", 0), ("groups", 10**12), ("padding", [10**9, 10**9]), ("stride", [0, 0]), ("dilation", [2**62, 1])],
    )
    def test_of_a_convolution(self, field, value, tmp_path):
        weight = np.ones((1, 1, 3, 3), F)
        node = nir.Conv2d((8, 8), weight, np.array([1, 1]), np.array([0, 0]), np.array([1, 1]), 1, np.zeros(1, F))
        file = write(tmp_path / "a.nir", {"c": node}, [1, 8, 8])
        with h5py.File(file, "a") as content:
            del content[f"node/nodes/c/{field}"]
            content[f"node/nodes/c/{field}"] = value
        assert "node 'c' (Conv2d)" in refused(file)


def test_names_that_are_no_text_can_be_printed(tmp_path):
    file = write(tmp_path / "a.nir", {"nom": nir.Linear(np.full((1, 2), np.nan, F))}, [2])
    bad = file.read_bytes()
    file.write_bytes(bad.replace(b"nom\0", b"n\xffm\0"))
    assert refused(file).encode("utf8")


class TestNothingIsRun:
    @pytest.mark.parametrize("kind", ["__class__", "str2NIRNode", "os.system", "NIRGraph.__init__"])
    def test_a_type_is_a_name_out_of_a_list(self, kind, tmp_path):
        file = write(tmp_path / "a.nir", {"n": nir.Scale(np.ones(1, F))}, [1])
        with h5py.File(file, "a") as content:
            del content["node/nodes/n/type"]
            content["node/nodes/n/type"] = kind
        assert f"node 'n': expected a NIR primitive, got {kind!r}" in refused(file)

    def test_pickled_objects_and_references_are_no_numbers(self, tmp_path):
        file = write(tmp_path / "a.nir", {"n": nir.Scale(np.ones(1, F))}, [1])
        with h5py.File(file, "a") as content:
            del content["node/nodes/n/scale"]
            content.create_dataset("node/nodes/n/scale", data=content.ref, dtype=h5py.ref_dtype)
        assert "/node/nodes/n/scale: expected numbers or texts, got object" in refused(file)
        with h5py.File(file, "a") as content:
            del content["node/nodes/n/scale"]
            content["node/nodes/n/scale"] = np.void(b"\x80\x04cos\nsystem\n")
        assert "/node/nodes/n/scale: expected numbers or texts" in refused(file)
