"""What lets real PyCUDA and NVIDIA's real TensorRT bindings run without a GPU.

`load_pycuda()` is for tests in this process, `build().environment(...)` for subprocesses. Nothing inside the product
knows of either: PyCUDA finds a `libcuda.so.1` whose device memory is host memory (`fakecuda.c`), and the bindings find
libraries that hold just the symbols that they link to.
"""

from tests.stand_ins.building import StandIns, build
from tests.stand_ins.fake_cuda import FakeCuda, load_pycuda

__all__ = ["FakeCuda", "StandIns", "build", "load_pycuda"]
