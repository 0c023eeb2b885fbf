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
from typing import cast

from edge_ctc.description import NAME
from edge_ctc.engine.runtimes import Machine, Runtime
from edge_ctc.errors import ResultsError
from edge_ctc.network import Precision

INSTALLATION = ".installation"
"""File that binds an ENGINES_DIR's engines to it and to the machine."""

_FORMER = ".former"
_OUR_NAME = re.compile(r"(tensorrt|tensorrt-rtx|onnxruntime)-(fp32|fp16)-([a-z0-9-]+)(\.former)?$")


def default_engines_dir() -> Path:
    """`$STATE_DIRECTORY/engines` under systemd, else in the user's state folder; relative settings are not heeded."""
    service = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if service.startswith("/"):
        return Path(service) / "engines"
    state = os.environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        # Path.home() raises for a user without a home, who may well call on the CPU.
        state = os.path.expanduser("~/.local/state")  # noqa: PTH111
    return Path(state) / "edge-ctc" / "engines"


def is_engines_dir(folder: Path) -> bool:
    """Whether an engine was ever built into `folder`."""
    return os.path.isfile(folder / INSTALLATION)


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

    runtime: Runtime
    precision: Precision
    target: str


def kind_of(folder: Path) -> Kind | None:
    """By the name of the folder alone; None where it is no engine's."""
    found = _OUR_NAME.match(folder.name)
    if found is None:
        return None
    runtime, precision, target, _ = found.groups()
    return Kind(cast("Runtime", runtime), cast("Precision", precision), target)


def engine_path(named: Path) -> Path:
    """The folder of an engine as somebody named it: absolute, and where the name is a link, what it points to.

    Links further up stay, since an ENGINES_DIR may have its parts on several disks.
    """
    try:
        path = Path(os.path.abspath(named))
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    except (OSError, ValueError):
        return named  # a name that no file can have; opening it tells


def engines_dir_of(folder: Path) -> Path:
    """The ENGINES_DIR in which an engine's folder lies."""
    return folder.parent.parent


def former_of(folder: Path) -> Path:
    """Where the engine that stood in `folder` before is kept."""
    return folder.parent / f"{folder.name}{_FORMER}"


def failed_rebuild_of(folder: Path) -> Path:
    """The note of a failed attempt to build the engine in `folder` anew; an install removes it."""
    return folder.with_name(f".{folder.name}.rebuild-failed")


def find_engines(engines_dir: Path, checkpoint: str | None = None) -> list[Path]:
    """Folders of installed engines in their order, of one checkpoint by its name or of all, without former ones.

    What has another name than ours is no engine. What has one and is no folder, a link whose disk is not mounted for
    instance, is an error: taking it for nothing would call on the CPU.

    Raises:
        ResultsError: a folder cannot be read.
    """
    names = [checkpoint] if checkpoint else [name for name in _listed(engines_dir) if re.match(NAME, name)]
    folders = [engines_dir / name for name in names]
    return [engine for folder in folders if not os.path.isfile(folder) for engine in _engines_in(folder)]


def _engines_in(folder: Path) -> list[Path]:
    ours = [
        folder / name.removesuffix(_FORMER) for name in _listed(folder) if kind_of(Path(name.removesuffix(_FORMER)))
    ]
    for engine in ours:
        if os.path.lexists(engine) and not os.path.isdir(engine):
            raise ResultsError(f"{engine}: no folder; mount what it points to, or remove it")
    return sorted(set(ours))


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError as error:
        if os.path.lexists(folder):
            raise ResultsError(f"{folder}: points to nothing; mount what it points to, or remove it") from error
        return []
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be read ({error.strerror}); look at its rights") from error
