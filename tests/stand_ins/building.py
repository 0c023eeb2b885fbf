"""Makes the stand-ins once, into `.cache/stand-ins/` of the checkout, from `fakecuda.c` and published packages."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
CACHE = SOURCES.parents[1] / ".cache" / "stand-ins"

PYCUDA = "pycuda==2026.1"
PYCUDA_NEEDS = (
    "mako==1.4.3",
    "markupsafe==3.0.4",
    "platformdirs==4.14.7",
    "pytools==2026.1.1",
    "siphash24==1.9",
    "typing-extensions==4.16.0",
)
CUDA_HEADERS = ("nvidia-cuda-runtime==13.0.96", "nvidia-cuda-profiler-api==13.0.85")
TENSORRT = {11: "11.4.0.106", 10: "10.16.1.11"}
TENSORRT_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")

# Without CURAND, whose headers are another package; not optimised, since the compiler's time is what is waited for;
# without warnings, since hundreds of them would hide the error.
_PYCUDA_OPTIONS = """\
CUDA_ROOT = {headers!r}
CUDA_INC_DIR = [{headers!r}]
CUDADRV_LIB_DIR = [{libraries!r}]
CUDA_ENABLE_CURAND = False
CXXFLAGS = ["-O0", "-g0", "-w"]
"""

Say = Callable[[str], None]


class BuildError(Exception):
    """A stand-in cannot be made; the message ends with the last lines of the tool that failed."""


@dataclass(frozen=True, slots=True)
class StandIns:
    """The folders that hold the stand-ins."""

    folder: Path

    @property
    def libcuda(self) -> Path:
        """The driver library without a GPU."""
        return self.folder / "cuda" / "libcuda.so.1"

    @property
    def pycuda(self) -> Path:
        """Where `pycuda` and what it imports are, numpy excepted."""
        return self.folder / "pycuda"

    @property
    def tensorrt(self) -> dict[int, Path]:
        """Where `tensorrt` and its stub libraries are, by major version."""
        return {major: self.folder / f"trt{major}" for major in TENSORRT}

    def environment(self, tensorrt: int | None = None) -> dict[str, str]:
        """This process's environment, and in it what a subprocess needs to import PyCUDA and, if asked, TensorRT.

        `FAKECUDA_DEVICES=0` beside it plays a machine whose driver finds no GPU.
        """
        bindings = [] if tensorrt is None else [self.tensorrt[tensorrt]]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": _path_list("LD_LIBRARY_PATH", self.libcuda.parent, *bindings),
            "PYTHONPATH": _path_list("PYTHONPATH", self.pycuda, *bindings),
        }


def build(say: Say = lambda _: None) -> StandIns:
    """The stand-ins, made now if they are not there: about two minutes.

    Raises:
        BuildError: The compiler or pip failed, or there is no compiler.
    """
    made = StandIns(CACHE / _key(*(file.read_bytes() for file in _sources())))
    if made.folder.exists():
        return made
    with _alone():
        if not made.folder.exists():
            _check_compiler()
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="unfinished-") as scratch:
                _make(Path(scratch), say)
                (Path(scratch) / "made").rename(made.folder)
    return made


def _sources() -> list[Path]:
    """All that decides what is made, this module with its versions included."""
    return [Path(__file__), *sorted(SOURCES.glob("*.c")), SOURCES / "pycuda-imports.txt"]


def _make(scratch: Path, say: Say) -> None:
    made = StandIns(scratch / "made")
    made.libcuda.parent.mkdir(parents=True)
    with _step("headers of CUDA", say):
        _pip("install", "--no-deps", "--target", scratch / "headers", *CUDA_HEADERS)
    headers = scratch / "headers" / "nvidia" / "cu13" / "include"
    with _step("libcuda", say):
        _compile_libcuda(made.libcuda, headers)
    with _step(f"{PYCUDA}, compiled unless its wheel is here", say):
        wheel = _pycuda_wheel(scratch, headers, made.libcuda)
        _pip("install", "--no-deps", "--target", made.pycuda, wheel, *PYCUDA_NEEDS)
    for major, version in TENSORRT.items():
        with _step(f"bindings of TensorRT {version}", say):
            _install_tensorrt(made.tensorrt[major], major, version)


def _compile_libcuda(library: Path, headers: Path) -> None:
    """`fakecuda.c`, and for each call that PyCUDA links to and that is not written there one that is not supported."""
    written = (SOURCES / "fakecuda.c").read_text(encoding="utf-8")
    linked = (SOURCES / "pycuda-imports.txt").read_text(encoding="utf-8").split()
    rest = library.with_name("rest.c")
    rest.write_text(
        "int fake_unsupported(const char *);\n"
        + "".join(
            f'int {call}(void) {{ return fake_unsupported("{call}"); }}\n'
            for call in linked
            if f" {call}(" not in written
        )
    )
    _compile(library, f"-I{headers}", "-pthread", SOURCES / "fakecuda.c", rest)
    rest.unlink()
    library.with_name("libcuda.so").symlink_to(library.name)


def _pycuda_wheel(scratch: Path, headers: Path, libcuda: Path) -> Path:
    """The wheel, kept apart from the rest: a change of `fakecuda.c` must not cost another compilation."""
    wheels = CACHE / "wheels" / _key(PYCUDA.encode(), *(each.encode() for each in (*CUDA_HEADERS, _PYCUDA_OPTIONS)))
    if not wheels.exists():
        _pip("download", "--no-deps", "--no-binary", "pycuda", "--dest", scratch / "source", PYCUDA)
        (archive,) = (scratch / "source").glob("*.tar.gz")
        _run("tar", "-xzf", archive, "-C", scratch / "source")
        (source,) = (folder for folder in (scratch / "source").iterdir() if folder.is_dir())
        options = _PYCUDA_OPTIONS.format(headers=str(headers), libraries=str(libcuda.parent))
        (source / "siteconf.py").write_text(options, encoding="utf-8")
        _pip("wheel", "--no-deps", "--wheel-dir", scratch / "wheel", source)
        wheels.parent.mkdir(exist_ok=True)
        (scratch / "wheel").rename(wheels)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def _install_tensorrt(folder: Path, major: int, version: str) -> None:
    packages = [f"{name}=={version}" for name in ("tensorrt", "tensorrt-cu13", "tensorrt-cu13-bindings")]
    _pip("install", "--no-deps", "--target", folder, *packages)
    for name in TENSORRT_LIBRARIES:
        _compile(folder / f"lib{name}.so.{major}", SOURCES / f"{name}_stub.c")


def _compile(library: Path, *arguments: str | Path) -> None:
    _run("gcc", "-shared", "-fPIC", "-O1", f"-Wl,-soname,{library.name}", "-o", library, *arguments)


def _pip(*arguments: str | Path) -> None:
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


def _run(*command: str | Path) -> None:
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode != 0:
        last = "\n".join(ended.stdout.splitlines()[-40:])
        raise BuildError(f"{' '.join(map(str, command))} ended with {ended.returncode}:\n{last}")


def _check_compiler() -> None:
    missing = [tool for tool in ("gcc", "g++") if shutil.which(tool) is None]
    if missing:
        raise BuildError(f"PyCUDA cannot be built: {' and '.join(missing)} not found; install a C and a C++ compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise BuildError("PyCUDA cannot be built: Python.h not found; install the development files of this Python")


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time; whatever an earlier one left unfinished is removed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in CACHE.glob("unfinished-*"):
            shutil.rmtree(left)
        yield


@contextmanager
def _step(what: str, say: Say) -> Iterator[None]:
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.0f} s")


def _key(*parts: bytes) -> str:
    """Sixteen hex digits over the parts, and this Python's ABI, which compiled modules are tied to."""
    whole = hashlib.sha256(str(sysconfig.get_config_var("SOABI")).encode())
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:16]


def _path_list(variable: str, *first: Path) -> str:
    return os.pathsep.join([*map(str, first), *filter(None, [os.environ.get(variable)])])
