"""Where built engines lie, by their names alone.

```
ENGINES_DIR/
    .installation                               tells engines of this installation from copies of others
    <checkpoint>/
        <runtime>-<precision>-<target>/         engine.plan, timing.cache where there is one, engine.json
        <runtime>-<precision>-<target>.former/  what stood there before
```
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.engine.runtimes import Machine
from edge_ctc.errors import ResultsError
from edge_ctc.network import Precision

_FORMER = ".former"
_OUR_NAME = re.compile("(tensorrt|tensorrt-rtx|onnxruntime)-(fp32|fp16)-([a-z0-9-]+)$")


def default_engines_dir() -> Path:
    """`$STATE_DIRECTORY/engines` under systemd, else in the user's state folder."""
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service.split(":")[0]) / "engines"
    # Path.home() raises for a user without a home, who may well call on the CPU.
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return Path(state) / "edge-ctc" / "engines"


def engine_folder(engines_dir: Path, checkpoint: str, machine: Machine, precision: Precision) -> Path:
    """Where the engine of a checkpoint, by its name, for `machine` belongs."""
    return engines_dir / checkpoint / f"{machine.runtime}-{precision}-{machine.target}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What an engine's folder name tells.

    Attributes:
        runtime: the library.
        precision: of the graph.
        target: as `Machine.target`.
    """

    runtime: str
    precision: str
    target: str


def kind_of(folder: Path) -> Kind | None:
    """By the name of the folder alone; None where it is no engine's."""
    found = _OUR_NAME.match(folder.name)
    return None if found is None else Kind(*found.groups())


def engines_dir_of(folder: Path) -> Path:
    """The ENGINES_DIR in which an engine's folder lies."""
    return folder.parents[1]


def former_of(folder: Path) -> Path:
    """Where the engine that stood in `folder` before is kept."""
    return folder.with_name(folder.name + _FORMER)


def failed_rebuild_of(folder: Path) -> Path:
    """The note of a failed attempt to build the engine in `folder` anew; an install removes it."""
    return folder.with_name(f".{folder.name}.rebuild-failed")


def find_engines(engines_dir: Path, checkpoint: str | None = None) -> list[Path]:
    """Folders of installed engines in their order, of one checkpoint by its name or of all, without former ones.

    A folder of another name than ours is no engine.

    Raises:
        ResultsError: a folder cannot be read.
    """
    try:
        names = [checkpoint] if checkpoint else sorted(os.listdir(engines_dir))
        return [
            folder
            for name in names
            if not name.startswith(".") and (engines_dir / name).is_dir()
            for folder in _engines_in(engines_dir / name)
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultsError(f"{engines_dir}: cannot be read ({error.strerror}); look at its rights") from error


def _engines_in(folder: Path) -> list[Path]:
    names = {name.removesuffix(_FORMER) for name in os.listdir(folder) if not name.startswith(".")}
    folders = [folder / name for name in sorted(names) if kind_of(folder / name)]
    return [one for one in folders if one.is_dir() or former_of(one).is_dir()]
