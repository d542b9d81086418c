"""A server of data sets on the loopback, and a small MNIST for it to serve."""

import functools
import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest
from torchvision import datasets as torchvision_sets


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class CuttingHandler(Handler):
    """A server that promises a whole file, sends half of it and hangs up."""

    def do_GET(self):
        path = self.translate_path(self.path)
        with open(path, "rb") as file:
            data = file.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """serve(handler) serves tmp_path/served on loopback, as the mirror."""
    servers = []

    def serve(handler=Handler):
        (tmp_path / "served").mkdir(exist_ok=True)
        handler = functools.partial(handler, directory=str(tmp_path / "served"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("DESCENT_MIRROR", f"http://127.0.0.1:{server.server_port}/")
        for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def idx(values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """40 + 20 digits in four gz files; torchvision is told their checksums."""
    served = tmp_path / "served"
    served.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    resources = []
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = random.integers(0, 256, (count, 28, 28))
        for kind, values in (("images-idx3", pixels), ("labels-idx1", np.arange(count) % 10)):
            data = gzip.compress(idx(values))
            (served / f"{part}-{kind}-ubyte.gz").write_bytes(data)
            resources.append((f"{part}-{kind}-ubyte.gz", md5(data)))
    monkeypatch.setattr(torchvision_sets.MNIST, "resources", resources)
    return served
