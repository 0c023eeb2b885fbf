"""engine.json: what an engine was built from, by what, for which machine, and how it was proved."""

import hashlib
import hmac
import json
import shlex
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.checkpoint import Checkpoint
from edge_ctc.description import Sha256
from edge_ctc.engine.runtimes import Machine, Runtime
from edge_ctc.network import Precision
from edge_ctc.toml_file import StrictModel

Count = Annotated[int, Field(ge=0)]
State = Literal["proved", "unproven"]


class GateRecord(StrictModel):
    """How an engine answered before it was installed, held against ONNX Runtime at fp32.

    Attributes:
        cells: reference cells, and cells of the runs that were checked.
        runs: how many runs were checked.
        largest_difference: of any logit, absolute.
        tolerance: what the checkpoint allows at the engine's precision.
        flips: cells that changed between CTC and LEUKOCYTE; 0, or there were no engine.
        review_flips: cells that changed to or from REVIEW.
    """

    cells: Count
    runs: Count
    largest_difference: float
    tolerance: float
    flips: Count
    review_flips: Count


def build_command(checkpoint: Path, runtime: Runtime, precision: Precision, max_batch: int, engines_dir: Path) -> str:
    """What builds an engine, to be typed."""
    options = ["--runtime", runtime, "--precision", precision, "--max-batch", str(max_batch)]
    return shlex.join(["edge-ctc", "build-engine", str(checkpoint), *options, "--out", str(engines_dir)])


class EngineRecord(StrictModel):
    """engine.json; the README says what the fields mean.

    Attributes:
        seal: of all the rest, by the installation that built it; empty until it is sealed.
    """

    schema_version: Literal[1]
    checkpoint: str
    checkpoint_folder: str
    checkpoint_sha256: Sha256
    onnx_sha256: Sha256
    plan_sha256: Sha256
    timing_cache_sha256: Sha256 | None
    runtime: Runtime
    runtime_version: str
    cuda_version: str | None
    driver_version: str | None
    gpu_name: str | None
    compute_capability: str | None
    precision: Precision
    max_batch: Annotated[int, Field(ge=1)]
    parity: GateRecord | None
    state: State
    built_at_utc: str
    rebuilt_because: tuple[str, ...]
    software_version: str
    command: str | None
    seal: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]

    @model_validator(mode="after")
    def _proof_matches_state(self) -> Self:
        if (self.parity is not None) != (self.state == "proved"):
            raise ValueError(f"state {self.state} with parity {self.parity}")
        return self

    @property
    def machine(self) -> Machine:
        """What it was built for."""
        return Machine(
            self.runtime,
            self.runtime_version,
            self.gpu_name,
            self.compute_capability,
            self.cuda_version,
            self.driver_version,
        )

    @property
    def description(self) -> str:
        """As it stands in every call: another plan is another engine, even where all versions are the same."""
        return f"{self.machine.description(self.precision)} {self.plan_sha256[:12]}"

    def build_command(self, engines_dir: Path, checkpoint: Path | None = None) -> str:
        """What builds it again, to be typed, from `checkpoint` where that is not where it was."""
        folder = checkpoint or Path(self.checkpoint_folder)
        return build_command(folder, self.runtime, self.precision, self.max_batch, engines_dir)

    def sealed(self, key: bytes) -> "EngineRecord":
        """With the seal of the installation whose key this is."""
        return self.model_copy(update={"seal": self._seal(key)})

    def is_sealed_by(self, key: bytes) -> bool:
        """Whether this is what the installation wrote, unchanged."""
        return hmac.compare_digest(self.seal, self._seal(key))

    def _seal(self, key: bytes) -> str:
        facts = json.dumps(self.model_dump(mode="json") | {"seal": ""}, sort_keys=True)
        return hmac.new(key, facts.encode(), hashlib.sha256).hexdigest()

    def mismatches(self, machine: Machine, checkpoint: Checkpoint) -> tuple[str, ...]:
        """What differs between now and when this was built, each with both sides; nothing where it fits.

        The InputSpec is part of the checkpoint, and of its hash.
        """
        built = self.machine
        pairs = (
            ("runtime", built.runtime, machine.runtime),
            ("runtime version", built.runtime_version, machine.runtime_version),
            ("GPU", built.gpu_name, machine.gpu_name),
            ("compute capability", built.compute_capability, machine.compute_capability),
            ("CUDA version", built.cuda_version, machine.cuda_version),
            ("driver", built.driver_version, machine.driver_version),
            ("checkpoint", self.checkpoint_sha256[:12], checkpoint.sha256[:12]),
        )
        return tuple(f"{what}: built for {then}, now {now}" for what, then, now in pairs if then != now)
