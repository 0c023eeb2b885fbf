"""What a new process does before its first call: `python -m tests.gpu.ready ENGINE CHECKPOINT` says when it is done."""

import sys
from pathlib import Path

from edge_ctc.console.building import BuildLines
from edge_ctc.engine_choice import EngineChooser, EngineSetting
from edge_ctc.models import OpenModels


def main(engine: Path, checkpoint: Path) -> None:
    """Open both as `edge-ctc classify-run` does, which replays the reference cells."""
    setting = EngineSetting(engine, engine.parents[1], "refuse")
    with BuildLines() as lines, OpenModels(EngineChooser(setting, lines)) as models:
        models.engine(models.checkpoint(checkpoint))
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
