"""Checkpoints and engines, opened once and kept for the runs that follow."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.engine.installed import InstalledEngine
from edge_ctc.engine.opening import open_on_cpu, open_plan
from edge_ctc.engine.runtimes import this_machine
from edge_ctc.engine.seam import Engine
from edge_ctc.engine_choice import EngineChooser
from edge_ctc.errors import EngineError
from edge_ctc.parity import Parity, replay


@dataclass(frozen=True, slots=True)
class ChosenEngine:
    """The engine that will call a checkpoint's cells.

    Attributes:
        description: as it stands in every call.
        installed: the built engine; None for ONNX Runtime on the CPU, which needs no building.
    """

    description: str
    installed: InstalledEngine | None


class OpenModels:
    """What has been opened so far; a context manager that closes the engines."""

    def __init__(
        self, chooser: EngineChooser | None = None, observed: Callable[[Engine], Engine] = lambda engine: engine
    ) -> None:
        """Nothing is opened yet.

        Args:
            chooser: of engines; without one, cells are called by ONNX Runtime on the CPU.
            observed: given each engine that is opened, gives the one that is used, for whoever times its batches.
        """
        self._chooser = chooser
        self._observed = observed
        self._checkpoints: dict[Path, Checkpoint] = {}
        self._chosen: dict[str, ChosenEngine] = {}
        self._engines: dict[str, Engine] = {}
        self._stack = contextlib.ExitStack()

    def named_checkpoint(self) -> Path | None:
        """Folder of the checkpoint that the engine named by the user was built from, if one was named."""
        named = None if self._chooser is None else self._chooser.named
        return None if named is None else Path(named.record.checkpoint_folder)

    def checkpoint(self, folder: Path) -> Checkpoint:
        """The checkpoint in `folder`. Raises CheckpointError."""
        if folder not in self._checkpoints:
            self._checkpoints[folder] = open_checkpoint(folder)
        return self._checkpoints[folder]

    def chosen(self, checkpoint: Checkpoint) -> ChosenEngine:
        """Which engine will call, without loading it. Raises as `EngineChooser.choose`."""
        if checkpoint.sha256 not in self._chosen:
            installed = None if self._chooser is None else self._chooser.choose(checkpoint)
            description = (
                this_machine("onnxruntime").description("fp32") if installed is None else installed.record.description
            )
            self._chosen[checkpoint.sha256] = ChosenEngine(description, installed)
        return self._chosen[checkpoint.sha256]

    def engine(self, checkpoint: Checkpoint) -> tuple[Engine, Parity]:
        """The chosen engine, after it has answered the reference cells, each time anew. Raises EngineError.

        Who asks before the first cell and after the last knows that the engine was sound in between.
        """
        if checkpoint.sha256 not in self._engines:
            installed = self.chosen(checkpoint).installed
            if installed is not None and installed.record.state != "proved":
                raise EngineError(f"{installed.folder}: not proved; nothing may be called with it")
            engine = self._stack.enter_context(
                open_on_cpu(checkpoint)
                if installed is None
                else open_plan(installed.record, installed.plan, checkpoint)
            )
            self._engines[checkpoint.sha256] = self._observed(engine)
        engine = self._engines[checkpoint.sha256]
        return engine, replay(engine, checkpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
