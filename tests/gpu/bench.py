"""What the sections share: the sizes, the simulated cells, the engines that were built, a temporary folder."""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ctc.checkpoint import Checkpoint, open_checkpoint, shipped_checkpoints
from edge_ctc.console.building import BuildLines
from edge_ctc.engine.installed import InstalledEngine
from edge_ctc.engine.opening import open_on_cpu
from edge_ctc.engine.runtimes import Runtime, this_machine
from edge_ctc.engine.seam import Scores
from edge_ctc.engine_choice import EngineChooser, EngineSetting
from edge_ctc.errors import UnavailableError
from edge_ctc.models import OpenModels
from edge_ctc.network import Precision
from edge_ctc.parity import reference_scores
from edge_ctc.simulate import Layout, simulate_cells, write_run
from tests.gpu.net import Net, make_net
from tests.gpu.section import NotRunError, Place

CHECKOUT = Path(__file__).parents[2]
CELLS = 10_000
SOAK_SECONDS = 300.0
RUN_CELLS = 2_000
_PATIENTS = 10
_FIRST_SEED = 45_000
"""Training patients have seeds from 100,000 on; the figures of docs/results.md use 30,000 to 30,009."""
_FIRST_UNSEEN_INSTRUMENT = 1_001
"""Training saw the instruments 0 to 11; half of our patients come from these, half from others."""
_CTC_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes and durations; other than these defaults, the report says so at its top.

    Attributes:
        cells: simulated, for parity and flips.
        soak_seconds: of the soak.
    """

    cells: int = CELLS
    soak_seconds: float = SOAK_SECONDS

    @property
    def run_cells(self) -> int:
        """Of the run that is called as a whole."""
        return min(RUN_CELLS, self.cells)


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime at a precision."""

    runtime: Runtime
    precision: Precision

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.runtime} {self.precision}"

    @property
    def place(self) -> Place:
        """What its figures say something about."""
        return "CPU" if self.runtime == "onnxruntime" else "GPU"


CPU_TARGETS = (Target("onnxruntime", "fp32"), Target("onnxruntime", "fp16"))
GPU_TARGETS = (
    Target("tensorrt", "fp32"),
    Target("tensorrt", "fp16"),
    Target("tensorrt-rtx", "fp32"),
    Target("tensorrt-rtx", "fp16"),
)


def require(target: Target) -> None:
    """Raises NotRunError where this machine lacks the runtime or the GPU."""
    try:
        this_machine(target.runtime)
    except UnavailableError as error:
        raise NotRunError(str(error)) from error


class Bench:
    """One acceptance under way."""

    def __init__(self, scale: Scale, folder: Path) -> None:
        """Nothing is simulated yet.

        Args:
            scale: sizes.
            folder: empty, for all that is written but the report.
        """
        self.scale, self.folder = scale, folder
        self.built: dict[Target, InstalledEngine] = {}
        self.checkpoint: Checkpoint = open_checkpoint(shipped_checkpoints() / "reference")

    @property
    def engines_dir(self) -> Path:
        """Where engines are installed."""
        return self.folder / "engines"

    def engine(self, target: Target) -> InstalledEngine:
        """The one that the build section installed. Raises NotRunError."""
        require(target)
        if target not in self.built:
            raise NotRunError("no engine to run: its build did not pass")
        return self.built[target]

    def preferred(self) -> Target:
        """The engine on the GPU for what is run with one only. Raises NotRunError where none was built."""
        order = ("fp16", "fp32")
        built = sorted((one for one in self.built if one.place == "GPU"), key=lambda one: order.index(one.precision))
        if not built:
            raise NotRunError("no engine was built on a GPU: see the builds")
        return built[0]

    @contextlib.contextmanager
    def models(self, target: Target) -> Iterator[OpenModels]:
        """As `edge-ctc classify-run --engine FOLDER` opens them."""
        setting = EngineSetting(self.engine(target).folder, self.engines_dir, "refuse")
        with BuildLines() as lines, OpenModels(EngineChooser(setting, lines)) as models:
            yield models

    @cached_property
    def simulated(self) -> Checkpoint:
        """The checkpoint with the simulated cells, uint16 (N, C, H, W), in the place of its reference cells."""
        parts = [_patient(number, cells) for number, cells in enumerate(self._cells_by_patient()) if cells]
        return replace(self.checkpoint, reference=replace(self.checkpoint.reference, images=np.concatenate(parts)))

    @property
    def names(self) -> list[str]:
        """Of the simulated cells."""
        return [
            f"patient {_FIRST_SEED + patient} cell {number}"
            for patient, cells in enumerate(self._cells_by_patient())
            for number in range(1, cells + 1)
        ]

    def _cells_by_patient(self) -> list[int]:
        share, left_over = divmod(self.scale.cells, _PATIENTS)
        return [share + (patient < left_over) for patient in range(_PATIENTS)]

    @cached_property
    def expected(self) -> Scores:
        """Of the simulated cells by ONNX Runtime at fp32 on the CPU, the yardstick."""
        with open_on_cpu(self.checkpoint) as engine:
            return reference_scores(engine, self.simulated)

    @cached_property
    def net(self) -> Net:
        """What all contenders for throughput compute."""
        return make_net(self.checkpoint, self.simulated)

    @cached_property
    def run(self) -> Path:
        """A simulated run on the disk."""
        folder = self.folder / "runs" / "whole"
        return simulated_run(folder, self.scale.run_cells, _FIRST_SEED + _PATIENTS, Layout.FLAT)


def _patient(number: int, cells: int) -> NDArray[np.uint16]:
    instrument = number if number < _PATIENTS // 2 else _FIRST_UNSEEN_INSTRUMENT + number
    found = simulate_cells(cells, int(cells * _CTC_SHARE), _FIRST_SEED + number, instrument)
    return np.stack([cell.images for cell in found])


def simulated_run(folder: Path, cells: int, seed: int, layout: Layout) -> Path:
    """Write a simulated run into `folder`, a tenth of its cells CTC."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_run(folder, cells, int(cells * _CTC_SHARE), seed, layout)
    return folder


def python(*arguments: object) -> list[str]:
    """The command that starts this Python; run it in the checkout."""
    return [sys.executable, *map(str, arguments)]


def edge_ctc(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `edge-ctc` as a process of its own."""
    command = python("-m", "edge_ctc", *arguments)
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median (smallest to largest)."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
