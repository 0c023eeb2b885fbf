"""The stand-ins are as helpful and as unhelpful as a GPU, so that what passes on them has a meaning."""

import ctypes
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.stand_ins import FakeCuda, build, load_pycuda

VALUES = np.arange(16, dtype=np.float32)


@pytest.fixture
def fake() -> Iterator[FakeCuda]:
    """The driver library without a GPU, as it is at the start; at the end nothing more is held than before."""
    fake = load_pycuda()
    fake.reset()
    before = held(fake)
    yield fake
    fake.reset()
    assert held(fake) == before


def held(fake: FakeCuda) -> tuple[int, ...]:
    return fake.pushed(), fake.retained(), fake.allocated(), fake.streams(), fake.events()


@pytest.fixture
def cuda(fake: FakeCuda) -> Iterator[Any]:
    """`pycuda.driver` with a context."""
    fake.driver.init()
    context = fake.driver.Device(0).retain_primary_context()
    context.push()
    try:
        yield fake.driver
    finally:
        context.pop()
        context.detach()


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = build().environment() | variables
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def downloading(cuda: Any, stream: Any) -> Any:
    """A pinned buffer of ones, with a copy of VALUES to it under way."""
    device, host = cuda.mem_alloc(VALUES.nbytes), cuda.pagelocked_empty(VALUES.shape, VALUES.dtype)
    host[:] = 1
    cuda.memcpy_htod(device, VALUES)
    cuda.memcpy_dtoh_async(host, device, stream)
    return host


def test_what_is_uploaded_can_be_downloaded(cuda: Any) -> None:
    stream = cuda.Stream(1)
    host = downloading(cuda, stream)
    stream.synchronize()
    np.testing.assert_array_equal(host, VALUES)


def test_without_a_synchronize_the_host_sees_old_data(cuda: Any) -> None:
    stream, other = cuda.Stream(1), cuda.Stream(1)
    host = downloading(cuda, stream)
    other.synchronize()
    np.testing.assert_array_equal(host, np.ones_like(VALUES))
    cuda.Context.synchronize()
    np.testing.assert_array_equal(host, VALUES)


def test_an_event_brings_what_was_put_on_its_stream_before_it_and_no_more(cuda: Any) -> None:
    stream, event = cuda.Stream(1), cuda.Event()
    before = downloading(cuda, stream)
    event.record(stream)
    after = downloading(cuda, stream)
    event.synchronize()
    np.testing.assert_array_equal(before, VALUES)
    np.testing.assert_array_equal(after, np.ones_like(VALUES))


def test_a_stream_that_waits_for_an_event_brings_what_the_event_brings(cuda: Any) -> None:
    stream, waiting, event = cuda.Stream(1), cuda.Stream(1), cuda.Event()
    host = downloading(cuda, stream)
    event.record(stream)
    waiting.wait_for_event(event)
    waiting.synchronize()
    np.testing.assert_array_equal(host, VALUES)


def test_a_query_is_answered_with_not_yet_before_the_data_are_there(cuda: Any) -> None:
    stream, event = cuda.Stream(1), cuda.Event()
    host = downloading(cuda, stream)
    event.record(stream)
    assert not event.query()
    np.testing.assert_array_equal(host, np.ones_like(VALUES))
    assert event.query()
    np.testing.assert_array_equal(host, VALUES)


def test_a_download_takes_the_data_of_its_turn_and_not_later_ones(cuda: Any) -> None:
    stream = cuda.Stream(1)
    device, host = cuda.mem_alloc(VALUES.nbytes), cuda.pagelocked_empty(VALUES.shape, VALUES.dtype)
    cuda.memcpy_htod(device, VALUES)
    cuda.memcpy_dtoh_async(host, device, stream)
    cuda.memset_d32_async(device, 0, VALUES.size, stream)
    stream.synchronize()
    np.testing.assert_array_equal(host, VALUES)


def test_a_pinned_buffer_refilled_before_its_upload_is_complete_is_counted(fake: FakeCuda, cuda: Any) -> None:
    stream = cuda.Stream(1)
    device, host = cuda.mem_alloc(VALUES.nbytes), cuda.pagelocked_empty(VALUES.shape, VALUES.dtype)
    cuda.memcpy_htod_async(device, host, stream)
    stream.synchronize()
    host[:] = 1
    assert fake.races() == 0
    cuda.memcpy_htod_async(device, host, stream)
    host[:] = 2
    stream.synchronize()
    assert fake.races() == 1


def test_fresh_memory_is_not_zero(cuda: Any) -> None:
    pinned = cuda.pagelocked_empty(VALUES.shape, VALUES.dtype)
    downloaded = np.zeros_like(VALUES)
    cuda.memcpy_dtoh(downloaded, cuda.mem_alloc(VALUES.nbytes))
    assert np.all(pinned != 0)
    assert np.all(downloaded != 0)


def test_freed_memory_is_overwritten_and_cannot_be_freed_again(cuda: Any) -> None:
    device = cuda.mem_alloc(VALUES.nbytes)
    cuda.memcpy_htod(device, VALUES)
    address = int(device)
    assert ctypes.string_at(address, VALUES.nbytes) == VALUES.tobytes()
    device.free()
    assert ctypes.string_at(address, VALUES.nbytes) == b"\xdb" * VALUES.nbytes
    with pytest.raises(cuda.LogicError):
        device.free()


def test_memset_fills_device_memory(cuda: Any) -> None:
    stream, device, host = cuda.Stream(1), cuda.mem_alloc(VALUES.nbytes), np.zeros_like(VALUES)
    nan = int(np.array(np.nan, dtype=np.float32).view(np.uint32))
    cuda.memset_d32_async(device, nan, VALUES.size, stream)
    cuda.memcpy_dtoh(host, device)
    assert np.all(np.isnan(host))
    cuda.memset_d8(device, 1, VALUES.nbytes)
    cuda.memcpy_dtoh(host, device)
    assert np.all(host.view(np.uint32) == 0x01010101)


def test_a_copy_or_memset_outside_of_what_is_allocated_is_refused(cuda: Any) -> None:
    device = cuda.mem_alloc(VALUES.nbytes - 4)
    with pytest.raises(cuda.LogicError, match="invalid argument"):
        cuda.memcpy_htod(device, VALUES)
    with pytest.raises(cuda.LogicError, match="invalid argument"):
        cuda.memset_d32(device, 0, VALUES.size)


def test_more_memory_than_the_gpu_has_is_a_memory_error(fake: FakeCuda, cuda: Any) -> None:
    fake.memory(1024)
    half = cuda.mem_alloc(600)
    with pytest.raises(cuda.MemoryError, match="out of memory"):
        cuda.mem_alloc(600)
    half.free()
    assert cuda.mem_get_info() == (1024, 1024)


def test_a_planned_failure_comes_in_its_turn_and_stays(fake: FakeCuda, cuda: Any) -> None:
    fake.fail("cuMemHostAlloc", 2, after=1)
    first = cuda.pagelocked_empty(4, np.uint8)
    for _ in range(2):
        with pytest.raises(cuda.MemoryError):
            cuda.pagelocked_empty(4, np.uint8)
    fake.reset()
    second = cuda.pagelocked_empty(4, np.uint8)
    assert fake.calls("cuMemHostAlloc") == 1
    assert first.size == second.size


def test_after_an_illegal_address_every_call_fails_and_yet_nothing_leaks(fake: FakeCuda, cuda: Any) -> None:
    before = held(fake)
    stream, device = cuda.Stream(1), cuda.mem_alloc(4)
    fake.fail("cuStreamSynchronize", 700)
    with pytest.raises(cuda.LogicError, match="illegal memory access"):
        stream.synchronize()
    with pytest.raises(cuda.LogicError, match="illegal memory access"):
        cuda.mem_alloc(4)
    del stream, device
    assert held(fake) == before


def test_a_call_that_libcuda_does_not_have_cannot_be_planned(fake: FakeCuda) -> None:
    with pytest.raises(ValueError, match="cuMemAlloc_v2"):
        fake.fail("cuMemAlloc", 2)


def test_a_thread_without_a_context_is_refused(cuda: Any) -> None:
    refusals: list[str] = []

    def allocate() -> None:
        try:
            cuda.mem_alloc(4)
        except cuda.LogicError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    assert refusals == ["cuMemAlloc failed: invalid device context"]


def test_a_thread_has_its_own_stack_of_contexts(fake: FakeCuda) -> None:
    depths: list[int] = []
    fake.driver.init()
    context = fake.driver.Device(0).retain_primary_context()

    def work() -> None:
        context.push()
        depths.append(fake.pushed())
        context.pop()
        depths.append(fake.pushed())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (depths, fake.pushed(), fake.retained()) == ([1, 0], 0, 1)
    context.detach()


def test_without_a_gpu_cuda_does_not_start(fake: FakeCuda) -> None:
    fake.devices(0)
    with pytest.raises(fake.driver.RuntimeError, match="no CUDA-capable device"):
        fake.driver.init()


def test_another_gpu_can_be_played(fake: FakeCuda) -> None:
    fake.name("NVIDIA RTX A1000")
    fake.compute_capability(8, 6)
    fake.driver_version(12080)
    fake.devices(2)
    fake.driver.init()
    device = fake.driver.Device(1)
    assert (device.name(), device.compute_capability()) == ("NVIDIA RTX A1000", (8, 6))
    assert (fake.driver.get_driver_version(), fake.driver.Device.count()) == (12080, 2)
    fake.reset()
    fake.driver.init()
    assert (device.name(), device.compute_capability()) == ("FakeCUDA (host memory)", (8, 9))


def test_it_can_be_loaded_again_and_beside_other_runtimes() -> None:
    code = """
{first}
from tests.stand_ins import load_pycuda
fake = load_pycuda()
{then}
assert load_pycuda() is fake
fake.driver.init()
assert fake.calls("cuInit") == 1
"""
    others = "import onnxruntime, torch"
    for first, then in ((others, ""), ("", others)):
        ended = run_python(code.format(first=first, then=then), LD_LIBRARY_PATH="", PYTHONPATH="")
        assert ended.returncode == 0, ended.stderr


def test_a_context_left_pushed_at_exit_aborts_the_process() -> None:
    code = (
        "import pycuda.driver as cuda; cuda.init(); context = cuda.Device(0).retain_primary_context(); context.push()"
    )
    assert run_python(code).returncode == -6
    assert run_python(f"{code}; context.pop()").returncode == 0


def test_a_subprocess_can_be_without_a_gpu() -> None:
    ended = run_python("import pycuda.driver as cuda; cuda.init()", FAKECUDA_DEVICES="0")
    assert "no CUDA-capable device" in ended.stderr


@pytest.mark.parametrize(("major", "version"), [(11, "11.4.0.106"), (10, "10.16.1.11")])
def test_nvidias_bindings_import_beside_pycuda(major: int, version: str) -> None:
    code = "import tensorrt, pycuda.driver; print(tensorrt.__version__, tensorrt.Builder.create_network.__name__)"
    command = [sys.executable, "-W", "error", "-c", code]
    ended = subprocess.run(command, env=build().environment(major), capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == (f"{version} create_network\n", "")
