"""Checkpoints and engines, opened once and kept for the runs that follow."""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.engine.seam import Engine
from edge_ctc.parity import Parity, replay


class OpenModels:
    """What has been opened so far; a context manager that closes the engines."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._checkpoints: dict[Path, Checkpoint] = {}
        self._engines: dict[str, tuple[Engine, Parity]] = {}
        self._stack = contextlib.ExitStack()

    def checkpoint(self, folder: Path) -> Checkpoint:
        """The checkpoint in `folder`. Raises CheckpointError."""
        if folder not in self._checkpoints:
            self._checkpoints[folder] = open_checkpoint(folder)
        return self._checkpoints[folder]

    def engine(self, checkpoint: Checkpoint) -> tuple[Engine, Parity]:
        """The checkpoint's engine, after it has answered the reference cells. Raises EngineError."""
        # Loading a runtime takes longer than finding that nothing is owed, and most calls find just that.
        from edge_ctc.engine.onnx_cpu import OnnxCpuEngine  # noqa: PLC0415

        if checkpoint.sha256 not in self._engines:
            engine = self._stack.enter_context(OnnxCpuEngine(checkpoint))
            self._engines[checkpoint.sha256] = engine, replay(engine, checkpoint)
        return self._engines[checkpoint.sha256]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
