"""What people see of engines: how a build goes, what was built, what is installed."""

import time
from collections.abc import Sequence
from pathlib import Path

from edge_ctc.build import Built, Order
from edge_ctc.console.lines import OneBar, say
from edge_ctc.engine.installed import InstalledEngine, read_engine
from edge_ctc.engine.places import default_engines_dir, engines_dir_of, former_of
from edge_ctc.engine.runtimes import Machine
from edge_ctc.errors import EdgeCtcError
from edge_ctc.gate import flip_line
from edge_ctc.parity import Parity

_PHASE_EVERY_S = 2.0


class BuildLines(OneBar):
    """An `edge_ctc.engine_choice.Reporter` for people, on standard error; a context manager."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        super().__init__()
        self._began = self._said = time.monotonic()

    def compiling(self, order: Order, machine: Machine) -> None:
        """What is compiled, for what."""
        checkpoint = order.checkpoint
        say(
            f"{checkpoint.name} ({checkpoint.sha256[:12]}): compiling for {machine.description(order.precision)}, "
            f"batches of 1 to {order.max_batch}{'; this takes minutes' if order.runtime == 'tensorrt' else ''}",
            to_error=True,
        )
        self._began = self._said = time.monotonic()

    def phase(self, name: str) -> None:
        """A line every two seconds at most: short phases come by the dozen."""
        now = time.monotonic()
        if now - self._said >= _PHASE_EVERY_S:
            say(f"  {now - self._began:.0f} s: {name}", to_error=True)
            self._said = now

    def comparing(self, cells: int) -> None:
        """A bar, where there is more than the reference cells."""
        if cells:
            self._draw("comparing with ONNX Runtime", cells)

    def stale(self, folder: Path, mismatches: tuple[str, ...], instead: Path | None) -> None:
        """An engine fits no more."""
        self._bar.close()
        then = "building it anew" if instead is None else f"taking {instead}"
        say(f"engine {folder}: {'; '.join(mismatches)}; {then}", to_error=True)


def print_built(built: Built) -> None:
    """How the engine proved itself, and where it lies."""
    engine, comparison = built.engine, built.comparison
    say(f"{engine.record.description}: {len(engine.plan):,} bytes, in {engine.folder}")
    if comparison is None:
        say(f"unproven: {built.no_device}")
        say("It calls nothing. On the machine that is to run it, with its GPU and PyCUDA, run this command again.")
        say("Until then classify-run ends with 69 for this checkpoint, or is called with --engine cpu; or remove it:")
        say(f"edge-ctc engine remove {engine.folder}")
        return
    say(
        f"proved on {comparison.cells} cells against ONNX Runtime at fp32: largest logit difference "
        f"{comparison.largest_difference:.2g}, allowed {comparison.tolerance:.2g}; verdicts that change: "
        f"{len(comparison.flips)}"
    )
    for flip in comparison.flips:
        say(flip_line(flip))
    if engines_dir_of(engine.folder) != default_engines_dir():
        say(f"classify-run looks there with --engines {engines_dir_of(engine.folder)}")
    if former_of(engine.folder).is_dir():
        say(f"the former one is kept: edge-ctc engine rollback {engine.folder}")


def print_removed(folder: Path) -> None:
    """An engine that is gone."""
    say(f"{folder}: removed, and its former one")


def print_engines(engines: Path, folders: Sequence[Path]) -> None:
    """Each installed engine; of damaged ones, what is wrong."""
    if not folders:
        say(f"{engines}: no engine is installed; build one: edge-ctc build-engine CHECKPOINT")
        return
    for folder in folders:
        say(str(folder))
        for line in _facts(folder):
            say(f"  {line}")


def _facts(folder: Path) -> list[str]:
    try:
        record = read_engine(folder).record
    except EdgeCtcError as error:
        return [f"not usable: {error}"]
    facts = [
        f"{record.state}: {record.description}",
        f"checkpoint {record.checkpoint} ({record.checkpoint_sha256[:12]}), built {record.built_at_utc}",
    ]
    return [*facts, "the former one is kept"] if former_of(folder).is_dir() else facts


def print_verified(engine: InstalledEngine, parity: Parity) -> None:
    """An engine that is proved here."""
    say(
        f"{engine.folder}: proved here: every byte as it was built, {parity.cells} reference cells, largest logit "
        f"difference {parity.largest_difference:.2g}, allowed {parity.tolerance:.2g}"
    )


def print_rolled_back(engine: InstalledEngine) -> None:
    """An engine that was brought back."""
    say(f"{engine.folder}: now {engine.record.description}, built {engine.record.built_at_utc}")
