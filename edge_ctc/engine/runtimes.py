"""Which runtimes there are, and what of this machine an engine depends on; loads no runtime."""

import contextlib
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from edge_ctc.errors import UnavailableError
from edge_ctc.network import Precision

Runtime = Literal["tensorrt", "tensorrt-rtx", "onnxruntime"]
"""By the names of their distributions."""

MAX_BATCH = 64
"""Cells per inference at most, where nothing else is asked for."""

_CPU = "cpu"
PORTABLE = "portable"
"""Compiled without a GPU, for any that the runtime serves."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine depends on: built on one machine, it runs on an equal one.

    Attributes:
        runtime: the library that computes.
        runtime_version: of it.
        gpu_name: None on the CPU, and where there is no GPU.
        compute_capability: of the GPU, "8.6" for instance.
        cuda_version: newest CUDA that the driver serves.
        driver_version: of NVIDIA's kernel module, where it is told.
    """

    runtime: Runtime
    runtime_version: str
    gpu_name: str | None = None
    compute_capability: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None

    @property
    def target(self) -> str:
        """The last part of an engine's folder name: "cpu", "portable", "nvidia-rtx-a2000-sm86" for instance."""
        if self.gpu_name is None or self.compute_capability is None:
            return self._device
        name = re.sub("[^a-z0-9]+", "-", self.gpu_name.casefold()).strip("-")
        return f"{name}-sm{self.compute_capability.replace('.', '')}"

    @property
    def _device(self) -> str:
        return self.gpu_name or (_CPU if self.runtime == "onnxruntime" else PORTABLE)

    def description(self, precision: Precision) -> str:
        """Runtime, its version, device and precision: as it stands in every call."""
        return f"{self.runtime} {self.runtime_version} {self._device} {precision}"


def this_machine(runtime: Runtime) -> Machine:
    """This machine, as `runtime` sees it; a GPU is looked for through PyCUDA, before TensorRT is touched.

    Raises:
        UnavailableError: the runtime is not installed, or it needs a GPU and none is found.
    """
    found = runtime_version(runtime)
    if runtime == "onnxruntime":
        return Machine(runtime, found)
    from edge_ctc.engine.cuda import find_device  # noqa: PLC0415 - the CPU's runtime needs nothing of it

    device = find_device()
    return Machine(
        runtime, found, device.gpu_name, device.compute_capability, device.cuda_version, device.driver_version
    )


def installed_gpu_runtime() -> Runtime:
    """TensorRT where it is installed, else TensorRT for RTX.

    Raises:
        UnavailableError: neither is.
    """
    gpu_runtimes: tuple[Runtime, ...] = ("tensorrt", "tensorrt-rtx")
    for runtime in gpu_runtimes:
        with contextlib.suppress(UnavailableError):
            runtime_version(runtime)
            return runtime
    raise UnavailableError(
        "neither tensorrt nor tensorrt-rtx is installed; docs/install.md leads through it; for the CPU: "
        "--runtime onnxruntime"
    )


def runtime_version(runtime: Runtime) -> str:
    """Of the installed package.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return version(runtime)
    except PackageNotFoundError as error:
        raise UnavailableError(
            f"{runtime} is not installed; install it: `pip install 'edge-ctc[{runtime}]'` "
            "(docs/install.md leads through it without internet), or name another with --runtime"
        ) from error
