"""Which parts this machine has: driver, GPU, libraries, cores; each with its version or why it is missing."""

import importlib
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from edge_ctc import __version__
from edge_ctc.engine.cuda import find_device
from edge_ctc.errors import UnavailableError
from tests.gpu.bench import cores
from tests.gpu.section import Findings, Group

GROUP = Group("Parts present", (), "")

_PACKAGES = ("pycuda", "tensorrt", "tensorrt-rtx", "torch", "onnxruntime", "numpy")


def parts_present() -> Findings:
    """All of them, a line each."""
    raw = {
        "edge-ctc": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "GPU": gpu(),
        **{name: _package(name) for name in _PACKAGES},
        "torch runs on": _torch_device(),
        "onnxruntime providers": _providers(),
    }
    return Findings((), raw, notes=tuple(f"{name}: {value}" for name, value in raw.items()))


def gpu() -> str:
    """Name, generation, memory, driver and CUDA of the GPU, or why there is none."""
    try:
        found = find_device()
    except UnavailableError as error:
        return f"not found ({error})"
    return (
        f"{found.gpu_name}, compute capability {found.compute_capability}, {found.memory_bytes / 2**30:.0f} GiB, "
        f"driver {found.driver_version or 'not told'}, CUDA {found.cuda_version}"
    )


def gpu_name() -> str | None:
    """Of the GPU, also where PyCUDA is missing; None where there is none."""
    try:
        return find_device().gpu_name
    except UnavailableError:
        return _name_told_by_driver()


def _name_told_by_driver() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    names = asked.stdout.splitlines() if asked.returncode == 0 else []
    return names[0].strip() if names else None


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _torch_device() -> str:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "nothing"
    return f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "the CPU only"


def _providers() -> str:
    return ", ".join(importlib.import_module("onnxruntime").get_available_providers())
