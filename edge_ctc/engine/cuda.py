"""The GPU through PyCUDA: its context, memory, stream. Nothing else in edge_ctc touches CUDA.

Free of syntax and imports newer than Python 3.10, so that an older TensorRT can be tried with it.
"""

import atexit
import contextlib
import functools
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import GpuFailedError, UnavailableError

_KERNEL_MODULE = Path("/sys/module/nvidia/version")
_NAN = int(np.float32(np.nan).view(np.uint32))
_MEND = "run `nvidia-smi`, and mend the driver until it shows one"
_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING of the CUDA driver API: no waiting for the default stream, which others may use."""


@dataclass(frozen=True, slots=True)
class Device:
    """The GPU that engines run on, the first that the driver shows; CUDA_VISIBLE_DEVICES chooses another.

    Attributes:
        gpu_name: as the driver says it.
        compute_capability: "8.6" for instance.
        cuda_version: newest CUDA that the driver serves, "13.0" for instance.
        driver_version: of NVIDIA's kernel module; None where it is not told.
        memory_bytes: of the device.
    """

    gpu_name: str
    compute_capability: str
    cuda_version: str
    driver_version: str | None
    memory_bytes: int


def find_device() -> Device:
    """The GPU, found without touching TensorRT, whose runtime crashes where there is no driver.

    Raises:
        UnavailableError: no PyCUDA, no driver or no GPU.
    """
    driver = _initialized()
    try:
        device = driver.Device(0)
        major, minor = device.compute_capability()
        cuda = driver.get_driver_version()
        return Device(
            gpu_name=device.name(),
            compute_capability=f"{major}.{minor}",
            cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}",
            driver_version=_kernel_module_version(),
            memory_bytes=device.total_memory(),
        )
    except driver.Error as error:
        raise UnavailableError(f"the GPU does not answer ({error}); {_MEND}") from error


def _kernel_module_version() -> str | None:
    try:
        return _KERNEL_MODULE.read_text().strip()
    except OSError:
        return None


def _initialized() -> Any:
    """`pycuda.driver`, ready, with at least one device."""
    driver = _imported()
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise UnavailableError(f"no GPU ({error}); {_MEND}") from error
    if not count:
        raise UnavailableError("the NVIDIA driver shows no GPU; see what CUDA_VISIBLE_DEVICES hides, and `nvidia-smi`")
    return driver


def _imported() -> ModuleType:
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"PyCUDA is not installed ({error}); install it: docs/install.md leads through it"
        ) from error
    except ImportError as error:
        raise UnavailableError(
            f"PyCUDA cannot be loaded ({error}); install NVIDIA's driver, then run `nvidia-smi`"
        ) from error


@functools.cache
def _primary_context() -> Any:
    """The GPU's primary context, held until the process ends.

    PyCUDA frees memory when nothing refers to it any more, which it can do only while the context is held: a buffer
    that outlives its engine, in a traceback for instance, would be lost otherwise.
    """
    context = _initialized().Device(0).retain_primary_context()
    atexit.register(context.detach)
    return context


class Gpu:
    """The GPU; its context is current only inside `current()`.

    The context is pushed and popped around each use, by whichever thread uses it: one that is still pushed when the
    process ends aborts it.
    """

    def __init__(self) -> None:
        """Take the primary context.

        Raises:
            UnavailableError: no PyCUDA, no driver or no GPU.
            GpuFailedError: it gives no context.
        """
        self._driver = _initialized()
        with self._translated("taking its context"):
            self._context = _primary_context()

    @contextlib.contextmanager
    def current(self, doing: str) -> Iterator[None]:
        """The context is this thread's current one inside.

        Args:
            doing: what, for the error.

        Raises:
            GpuFailedError: CUDA failed inside.
        """
        with self._translated(doing):
            self._context.push()
            try:
                yield
            finally:
                self._driver.Context.pop()

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise GpuFailedError(f"the GPU failed at {doing} ({error}); run `nvidia-smi`, then start again") from error

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Zeros, float32, in host memory that the GPU copies from and to without a detour."""
        array: NDArray[np.float32] = self._driver.pagelocked_empty(shape, np.float32)
        array.fill(0)
        return array

    def stream(self) -> "Stream":
        """A stream of its own."""
        return Stream(self._driver)

    def allocated(self, shape: tuple[int, ...]) -> "DeviceArray":
        """Device memory for float32 of `shape`."""
        return DeviceArray(self._driver, shape)


class DeviceArray:
    """float32 in device memory. Its methods only queue work on a stream; use them while the context is current.

    Attributes:
        address: on the device.
        shape: as allocated.
    """

    def __init__(self, driver: Any, shape: tuple[int, ...]) -> None:
        """Allocate; what it holds is undefined."""
        self._driver, self.shape = driver, shape
        self._memory = driver.mem_alloc(int(np.prod(shape)) * np.dtype(np.float32).itemsize)
        self.address = int(self._memory)

    def take(self, source: NDArray[np.float32], stream: "Stream") -> None:
        """Copy pinned `source` here, to the beginning."""
        self._driver.memcpy_htod_async(self._memory, source, stream.handle)

    def give(self, place: NDArray[np.float32], stream: "Stream") -> None:
        """Copy from the beginning into pinned `place`."""
        self._driver.memcpy_dtoh_async(place, self._memory, stream.handle)

    def fill_with_nan(self, stream: "Stream") -> None:
        """So that what was not computed anew cannot be taken for a result."""
        self._driver.memset_d32_async(self._memory, _NAN, int(np.prod(self.shape)), stream.handle)


class Stream:
    """Work in order, beside the host.

    Attributes:
        handle: PyCUDA's stream.
        address: CUDA's own handle, as TensorRT takes it.
    """

    def __init__(self, driver: Any) -> None:
        """Make it."""
        self.handle = driver.Stream(_NON_BLOCKING)
        self.address = int(self.handle.handle)

    def wait(self) -> None:
        """Until all that was queued is done."""
        self.handle.synchronize()
