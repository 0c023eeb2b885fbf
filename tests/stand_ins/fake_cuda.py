"""Real PyCUDA in this process on the driver library without a GPU, and what a test can plan and ask there."""

import ctypes
import functools
import importlib
import sys
from typing import Any

from tests.stand_ins.building import build


class FakeCuda:
    """Plays a GPU, plans failures, and tells what was called and what is still held."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def driver(self) -> Any:
        """The module `pycuda.driver`, which carries no types."""
        return importlib.import_module("pycuda.driver")

    def reset(self) -> None:
        """Forget plans, counts, the GPU that was played, and cuInit. What is held stays held: a leak is a leak."""
        self._library.fake_reset()

    def fail(self, call: str, code: int, after: int = 0) -> None:
        """Let a call such as `cuMemAlloc_v2` succeed `after` times, then return this CUresult until `reset()`.

        Once 700 (illegal address) or 719 (launch failed) was returned, every later call returns it too, as on a GPU;
        contexts can still be popped and released, and memory that is freed counts as freed.
        """
        self._library.fake_fail(self._known(call), code, after)

    def devices(self, count: int) -> None:
        """Play this many GPUs; with none, cuInit fails with 100."""
        self._library.fake_devices(count)

    def name(self, name: str) -> None:
        """Play a GPU of this name."""
        self._library.fake_name(name.encode())

    def compute_capability(self, major: int, minor: int) -> None:
        """Play a GPU of this generation; 8.9 unless told."""
        self._library.fake_compute_capability(major, minor)

    def driver_version(self, version: int) -> None:
        """Play a driver for this CUDA version; 13000 unless told."""
        self._library.fake_driver_version(version)

    def memory(self, size: int) -> None:
        """Play a GPU with so many bytes of memory; 1 GiB unless told."""
        self._library.fake_memory(ctypes.c_size_t(size))

    def calls(self, call: str) -> int:
        """How often this was called since the last `reset()`, failures included."""
        return int(self._library.fake_calls(self._known(call)))

    def pushed(self) -> int:
        """How many contexts are on this thread's stack."""
        return int(self._library.fake_pushed())

    def retained(self) -> int:
        """How many references to primary contexts are held."""
        return int(self._library.fake_retained())

    def allocated(self) -> int:
        """How many blocks of device memory and of pinned memory are not freed."""
        return int(self._library.fake_allocated())

    def streams(self) -> int:
        """How many streams are not destroyed."""
        return int(self._library.fake_streams())

    def queued(self, stream: int) -> int:
        """How many copies and fills were ever queued on a stream, by its handle, if it waits for no other; else 0."""
        return int(self._library.fake_queued(ctypes.c_void_p(stream)))

    def events(self) -> int:
        """How many events are not destroyed."""
        return int(self._library.fake_events())

    def races(self) -> int:
        """How many pinned buffers were changed before their upload was known to be complete, since `reset()`."""
        return int(self._library.fake_races())

    def _known(self, call: str) -> bytes:
        if not hasattr(self._library, call):
            raise ValueError(f"libcuda has no {call}: is it {call}_v2?")
        return call.encode()


@functools.cache
def load_pycuda() -> FakeCuda:
    """Make PyCUDA importable in this process, on the library without a GPU, and hand back the control of that library.

    Raises:
        BuildError: The stand-ins cannot be made.
        RuntimeError: PyCUDA, or a real libcuda, was loaded before.
    """
    stand_ins = build()
    # The loader takes a library by its soname where it is already there: PyCUDA links to libcuda.so.1.
    fake = FakeCuda(ctypes.CDLL(str(stand_ins.libcuda), mode=ctypes.RTLD_GLOBAL))
    sys.path.append(str(stand_ins.pycuda))
    fake.driver.get_driver_version()
    if fake.calls("cuDriverGetVersion") == 0:
        raise RuntimeError("another libcuda was loaded before the one without a GPU")
    fake.reset()
    return fake
