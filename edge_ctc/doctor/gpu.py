"""Driver, GPU, runtimes and PyCUDA; TensorRT itself is never loaded, it crashes where there is no driver."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_args

from edge_ctc.doctor.findings import Finding, Status, parted
from edge_ctc.engine.cuda import Device, find_device
from edge_ctc.engine.runtimes import Runtime, runtime_version
from edge_ctc.errors import UnavailableError

_KERNEL_MODULE = Path("/sys/module/nvidia/version")
_RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
_GPU_RUNTIMES = frozenset[Runtime]({"tensorrt", "tensorrt-rtx"})
_INSTALL = "docs/install.md leads through it, also without internet"


@dataclass(frozen=True, slots=True)
class Graphics:
    """What there is to compute on a GPU.

    Attributes:
        device: the GPU; or why there is none.
        driver_version: of NVIDIA's kernel module, which tells it without PyCUDA too; None where none is loaded.
        runtimes: version of each that is installed.
        pycuda: its version; None where it is not installed.
    """

    device: Device | UnavailableError
    driver_version: str | None
    runtimes: Mapping[Runtime, str]
    pycuda: str | None


def find_graphics() -> Graphics:
    """Of this machine."""
    runtimes = {name: found for name in _RUNTIMES if (found := _runtime_version(name))}
    return Graphics(_device(), _driver_version(), runtimes, _pycuda_version())


def _device() -> Device | UnavailableError:
    try:
        return find_device()
    except UnavailableError as error:
        return error


def _driver_version() -> str | None:
    try:
        return _KERNEL_MODULE.read_text().strip()
    except OSError:
        return None


def _runtime_version(name: Runtime) -> str | None:
    try:
        return runtime_version(name)
    except UnavailableError:
        return None


def _pycuda_version() -> str | None:
    try:
        return version("pycuda")
    except PackageNotFoundError:
        return None


def graphics_findings(graphics: Graphics, needed: Set[Runtime]) -> list[Finding]:
    """A line for each: absent things are faults where an engine is installed that needs them.

    Args:
        graphics: what there is.
        needed: runtimes of the installed engines.
    """
    absent: Status = "fault" if needed & _GPU_RUNTIMES else "warning"
    return [
        _driver(graphics, absent),
        _gpu(graphics, absent),
        *_runtimes(graphics.runtimes, needed),
        _pycuda(graphics, absent),
    ]


def _driver(graphics: Graphics, absent: Status) -> Finding:
    if isinstance(graphics.device, Device):
        told = graphics.device.driver_version or "driver, its version not told"
        return Finding("driver", "ok", f"NVIDIA {told}, serves CUDA {graphics.device.cuda_version}")
    if graphics.driver_version:
        return Finding("driver", "ok", f"NVIDIA {graphics.driver_version}")
    return Finding("driver", absent, "no NVIDIA driver is loaded", f"install it, restart, run `nvidia-smi`; {_INSTALL}")


def _gpu(graphics: Graphics, absent: Status) -> Finding:
    device = graphics.device
    if isinstance(device, Device):
        capability, memory = device.compute_capability, device.memory_bytes / 1e9
        return Finding("gpu", "ok", f"{device.gpu_name}, compute capability {capability}, {memory:.1f} GB")
    found, mend = parted(device)
    return Finding("gpu", absent, f"not seen: {found}", mend if graphics.driver_version else "first the driver, above")


def _runtimes(installed: Mapping[Runtime, str], needed: Set[Runtime]) -> list[Finding]:
    findings = [Finding("runtime", "ok", f"{name} {found}") for name, found in installed.items()]
    # ONNX Runtime is the yardstick of every engine, and calls where there is none.
    findings += [
        Finding(
            "runtime",
            "fault",
            f"{name} is not installed" + (", and an engine needs it" if name in needed else ""),
            "`pip install " + (name if name == "onnxruntime" else f"'edge-ctc[{name}]'") + f"`; {_INSTALL}",
        )
        for name in _RUNTIMES
        if name in {*needed, "onnxruntime"} and name not in installed
    ]
    if not _GPU_RUNTIMES & {*installed, *needed}:
        found = "neither TensorRT nor TensorRT for RTX is installed: cells are called on the CPU"
        findings.append(
            Finding("runtime", "warning", found, f"for a GPU: `pip install 'edge-ctc[tensorrt-rtx]'`; {_INSTALL}")
        )
    return findings


def _pycuda(graphics: Graphics, absent: Status) -> Finding:
    if graphics.pycuda or isinstance(graphics.device, Device):
        return Finding("pycuda", "ok", f"PyCUDA {graphics.pycuda or '(version not told)'}")
    if absent == "warning" and not _GPU_RUNTIMES & graphics.runtimes.keys():
        return Finding("pycuda", "ok", "not installed, not needed without TensorRT")
    return Finding(
        "pycuda",
        absent,
        "not installed; the extra tensorrt-rtx does not bring it",
        f"`pip install pycuda` with a CUDA toolkit, or from the wheelhouse; {_INSTALL}",
    )
