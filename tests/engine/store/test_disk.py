"""The store on disk: bit for bit, verified when read, shared by processes, never half-written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from weft.engine import StoreError
from weft.engine.keys import digest
from weft.engine.store import Computed, CorruptRecord
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore

KEY = digest("a key")

TENSORS = {
    "float32": torch.tensor([0.0, -0.0, float("nan"), float("inf"), 1e-45]),
    "bfloat16": torch.randn(3, 4).bfloat16(),
    "float16": torch.randn(2).half(),
    "bool": torch.tensor([[True, False]]),
    "int64": torch.tensor([2**62, -1]),
    "uint8": torch.arange(256, dtype=torch.uint8),
    "empty": torch.zeros(0, 4),
    "scalar": torch.tensor(3.5),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "a view": torch.arange(10.0)[3:7:2],
    "spread": torch.ones(1, 1).expand(4, 4),
}


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """An empty store."""
    return DiskStore(tmp_path / "store")


def kept(store: DiskStore, item: Any) -> Any:
    """A value after the store."""
    store.put(KEY, made(item), 0.5, {"device": "cpu"})
    record = store.get(KEY)
    assert record is not None
    return record.outputs["out"].load()


def made(item: object) -> dict[str, Computed]:
    """What a call with one output gave."""
    return {"out": Computed(item, content_digest(item))}


def files(store: DiskStore) -> list[Path]:
    """Every file of a store."""
    return sorted(path for path in store.root.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_bit_for_bit(name: str, store: DiskStore) -> None:
    tensor = TENSORS[name]
    again = kept(store, [tensor, "a text"])[0]
    assert (again.dtype, again.shape) == (tensor.dtype, tensor.shape)
    assert again.flatten().view(torch.uint8).equal(tensor.contiguous().flatten().view(torch.uint8))


def test_tensors_that_share_memory_are_kept_apart(store: DiskStore) -> None:
    whole = torch.arange(8.0)
    first, second = kept(store, (whole[:4], whole))
    assert first.equal(whole[:4]) and second.equal(whole)


def test_an_unknown_key_is_a_miss(store: DiskStore) -> None:
    assert store.has(KEY) is None and store.get(KEY) is None
    store.drop(KEY)
    assert not store.folder.exists()


def test_equal_blobs_are_kept_once(store: DiskStore) -> None:
    for name in ("one", "two"):
        store.put(digest(name), made(b"the same"), 0.0, {})
    assert [path.parent.parent.name for path in files(store)].count("blobs") == 1


def test_a_value_without_tensors_is_read_without_torch(store: DiskStore) -> None:
    store.put(KEY, made({"a": [1, b"x"]}), 0.0, {})
    code = (
        "import sys; from pathlib import Path; from weft.engine.store.disk import DiskStore;"
        "from weft.engine.keys import Digest; folder, key = sys.argv[1:];"
        "print(DiskStore(Path(folder)).get(Digest(key)).outputs['out'].load(), 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, store.folder, KEY], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "{'a': [1, b'x']} False"


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b" ", lambda _: b""])
def test_any_change_is_damage(change: Callable[[bytes], bytes], store: DiskStore) -> None:
    for number in range(2):
        kept(store, b"some bytes")
        path = files(store)[number]
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises(CorruptRecord):
            store.has(KEY)
            record = store.get(KEY)
            assert record is not None
            record.outputs["out"].load()
        store.drop(KEY)
        assert kept(store, b"some bytes") == b"some bytes"


def test_a_record_does_not_pass_for_another(store: DiskStore) -> None:
    other = digest("another key")
    store.put(KEY, made(1), 0.0, {})
    store.put(other, made(2), 0.0, {})
    one, two = files(store)
    one.write_bytes(two.read_bytes())
    damaged = next(key for key in (KEY, other) if one.stem == key)
    with pytest.raises(CorruptRecord) as caught:
        store.get(damaged)
    assert caught.value.key == damaged


def test_writers_at_once_leave_whole_results(store: DiskStore) -> None:
    def put(number: int) -> None:
        store.put(digest(number % 5), made(torch.full((64, 64), number % 5)), 0.0, {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(100)))
    records = [store.get(digest(number)) for number in range(5)]
    assert [int(record.outputs["out"].load()[0, 0]) for record in records if record] == [0, 1, 2, 3, 4]
    assert len(files(store)) == 10 and not [path for path in files(store) if path.name.startswith(".")]


def test_a_writer_that_is_killed_leaves_a_whole_store(store: DiskStore) -> None:
    code = (
        "import sys, itertools; from pathlib import Path; from weft.engine.store.disk import DiskStore;"
        "from weft.engine.keys import digest; from weft.engine.store import Computed;"
        "store = DiskStore(Path(sys.argv[1]));"
        "made = lambda n: {'out': Computed(bytes([n % 256]) * 100_000, digest(n))};"
        "[(store.put(digest(n), made(n), 0.0, {}), print(n, flush=True)) for n in itertools.count()]"
    )
    with subprocess.Popen([sys.executable, "-c", code, store.folder], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout and "40\n" in iter(writer.stdout.readline, "")
        writer.kill()
    whole = [record for n in range(len(files(store))) if (record := store.get(digest(n)))]
    assert len(whole) > 10 and all(len(record.outputs["out"].load()) == 100_000 for record in whole)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "store"))):
        DiskStore(tmp_path / "store").put(KEY, made(1), 0.0, {})


@pytest.mark.skipif(os.name != "posix", reason="limits on file size are set the POSIX way")
def test_a_full_disk_leaves_a_whole_store(store: DiskStore) -> None:
    code = (
        "import sys, resource, signal; from pathlib import Path; from weft.engine.store.disk import DiskStore;"
        "from weft.engine.keys import digest; from weft.engine.store import Computed;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "DiskStore(Path(sys.argv[1])).put(digest('big'), {'out': Computed(b'x' * 100_000, digest(1))}, 0.0, {})"
    )
    run = subprocess.run([sys.executable, "-c", code, store.folder], capture_output=True, text=True)
    assert "StoreError" in run.stderr and "File too large" in run.stderr
    assert not files(store) and store.has(digest("big")) is None
