"""Without this, opening somebody's data file could run their code."""

import collections
import io
import os
import pickle
import struct

import numpy as np
import pytest
import torch

from descent.common.errors import DataError
from engine.training.data import safe_pickle


@pytest.fixture
def through(tmp_path):
    """through(bytes) reads a pickle file."""

    def through(data):
        path = tmp_path / "data.pkl"
        path.write_bytes(data)
        return safe_pickle.read(path)

    return through


@pytest.mark.parametrize("protocol", range(6))
def test_arrays(through, protocol):
    """A file that Python wrote could not be read back."""
    given = {
        "floats": np.random.default_rng(0).normal(size=(4, 3)),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "big": np.arange(5, dtype=">i2"),
        "bytes": np.arange(256, dtype=np.uint8),
        "flags": np.array([True, False]),
        "words": np.array(["a", "bcd"]),
        "nothing": np.zeros((0, 3), np.float32),
    }
    found = through(pickle.dumps(given, protocol))
    assert found.keys() == given.keys()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_containers(through, protocol):
    """Labels in lists and names in dicts would be refused."""
    given = {"labels": [1, 2, 3], "mean": np.float32(0.5), "deep": [{"a": (np.arange(3), None)}], "on": True}
    given["ordered"] = collections.OrderedDict(z=1)
    found = through(pickle.dumps(given, protocol))
    assert found["labels"] == [1, 2, 3]
    assert found["mean"] == 0.5
    assert found["deep"][0]["a"][0].tolist() == [0, 1, 2]
    assert found["ordered"] == {"z": 1}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickled_tensors(through, protocol):
    """A tensor in a pickle would be refused, or a view of it come out wrong."""
    base = torch.arange(12.0).reshape(3, 4)
    found = through(pickle.dumps({"x": base, "column": base[:, 1], "half": base.bfloat16()}, protocol))
    assert torch.equal(found["x"], base)
    assert torch.equal(found["column"], base[:, 1])
    assert found["half"].dtype == torch.bfloat16


@pytest.mark.parametrize("new", [True, False])
def test_saved_by_torch(tmp_path, new):
    """A file of torch.save would be refused, in today's format or the old one."""
    torch.save({"x": torch.arange(3.0)}, tmp_path / "t.pt", _use_new_zipfile_serialization=new)
    assert safe_pickle.read(tmp_path / "t.pt")["x"].tolist() == [0, 1, 2]


def test_python_2(through):
    """CIFAR's own files were written by Python 2, whose strings are bytes."""
    raw = bytes(range(250, 256))
    stream = (
        b"\x80\x02}q\x00U\x04dataq\x01cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK"
        b"\x00tb\x89U\x06" + raw + b"tbs."
    )
    assert through(stream)["data"].tolist() == [[250, 251, 252], [253, 254, 255]]


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "ran"


def malicious(marker):
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    saved = io.BytesIO()
    torch.save(Calls(os.system, command), saved)
    old = io.BytesIO()
    torch.save(Calls(os.system, command), old, _use_new_zipfile_serialization=False)
    inner = pickle.dumps(Calls(os.system, command))
    objects = np.array([Calls(os.system, command)], dtype=object)
    array = b"cnumpy.core.multiarray\n_reconstruct\n"
    return {
        "posix.system": inner,
        "builtins.eval": pickle.dumps({"x": [Calls(eval, code)]}),
        "builtins.getattr": pickle.dumps(Calls(getattr, np.arange(3), "tofile")),
        "builtins.__import__": b"cbuiltins\n__import__\n(S'os'\ntR.",
        "numpy.ndarray.tofile": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "numpy.load": b"cnumpy\nload\n(S'x'\ntR.",
        "torch.load": b"ctorch\nload\n(S'x'\ntR.",
        "numpy.ndarray as a function": b"cnumpy\nndarray\n(K\x03tR.",
        "in an object array": pickle.dumps(objects),
        "in torch.save": saved.getvalue(),
        "in the old torch.save": old.getvalue(),
        "in a tensor's storage": pickle.dumps(Calls(torch.storage._load_from_bytes, old.getvalue())),
        "as _reconstruct's class": array + b"(cos\nsystem\n(K\x00tS'b'\ntR.",
        "as _reconstruct's class, allowed": array + b"(cnumpy\ndtype\n(K\x00tS'b'\ntR.",
        "as a codec": b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        "by a persistent id": b"S'x'\nQ.",
        "as a pickled type": pickle.dumps({"x": Calls}),
        "by its state": b"cnumpy\ndtype\n(S'f8'\ntR}S'__class__'\ncos\nsystem\nsb.",
    }


@pytest.mark.parametrize("trick", malicious("x"))
def test_malicious(through, marker, trick):
    """A pickle would run code when it is opened."""
    with pytest.raises(DataError):
        through(malicious(marker)[trick])
    assert not marker.exists()


@pytest.mark.parametrize("trick", ["posix.system", "builtins.eval", "numpy.ndarray.tofile", "torch.load"])
def test_the_refused_name_is_told(through, marker, trick):
    """A person would not learn what in the file is refused."""
    with pytest.raises(DataError, match=f"asks for {trick}, which is not data"):
        through(malicious(marker)[trick])


def test_the_refused_name_in_torch_save(tmp_path):
    """torch's own long advice, to load it without safety, would be shown."""
    torch.save({"x": Calls(os.system, "true")}, tmp_path / "t.pt")
    with pytest.raises(DataError, match=r"asks for (posix|os)\.system") as caught:
        safe_pickle.read(tmp_path / "t.pt")
    assert "weights_only=False" not in str(caught.value)


def pickled_dtype(code, state):
    return b"cnumpy\ndtype\n(" + pickle.dumps(code, 0)[:-1] + b"tR" + pickle.dumps(state, 0)[:-1] + b"b"


@pytest.mark.parametrize("code", ["O", "O8", "V8", "f8,O", "M8[s]", "m8", "", "f16", "S-1"])
def test_types_that_are_not_numbers(through, code):
    """Bytes from the file could be taken for pointers to objects."""
    state = (3, "|", None, None, None, -1, -1, 63)
    shape, data = pickle.dumps((1,), 0)[:-1], b"C\x08" + struct.pack("q", 0x41414141)
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tS'b'\ntR(K\x01" + shape
    with pytest.raises(DataError, match=r"type|Python objects|damaged|can't be read"):
        through(array + pickled_dtype(code, state) + b"\x89" + data + b"tb.")


def test_a_lying_state(through):
    """A dtype's pickled state with fields of its own would be believed."""
    fields = {"a": ("O", 0)}
    state = (3, "<", None, ("a",), fields, 8, 1, 0)
    found = through(pickled_dtype("f8", state) + b"0N.")
    assert found is None  # the state's fields are not even looked at


@pytest.mark.parametrize("shape", [(3,), (-1,), ("a",), (2**62, 2**62)])
def test_shapes_that_do_not_fit(through, shape):
    """An array could reach beyond its bytes."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tS'b'\ntR(K\x01"
    dtype = pickled_dtype("f8", (3, "<", None, None, None, -1, -1, 0))
    with pytest.raises(DataError):
        through(array + pickle.dumps(shape, 0)[:-1] + dtype + b"\x89C\x08" + bytes(8) + b"tb.")


def test_a_tensor_beyond_its_storage(through):
    """A tensor could read memory that is not its own."""
    stream = pickle.dumps(
        Calls(torch._utils._rebuild_tensor_v2, torch.zeros(2)._typed_storage(), 0, (10**6,), (1,), False, {})
    )
    try:
        found = through(stream)
    except DataError:
        return
    assert found.untyped_storage().nbytes() >= 4 * 10**6


@pytest.mark.slow
@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x80\x04", pickle.dumps([1, 2, 3])[:-3], b"(" * 50_000 + b"t" * 50_000]
)
def test_damaged(through, data):
    """A damaged file would end in a traceback."""
    with pytest.raises(DataError, match="can't be read as a pickle"):
        through(data)


def test_as_data(tmp_path, read):
    """A pickled dict of arrays could not be trained on."""
    path = tmp_path / "d.pkl"
    path.write_bytes(pickle.dumps({"x": torch.randn(40, 3), "y": [0, 1] * 20}))
    data = read(name="pickle", path=str(path))
    assert data.input_shape == (3,)
    assert data.num_classes == 2
    with pytest.raises(DataError, match=r"no 'X'.*it has 'x', 'y'"):
        read(name="pickle", path=str(path), inputs="X")
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="an object of type list; a dict"):
        read(name="pickle", path=str(path))
