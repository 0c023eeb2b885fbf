"""The work folder: what a killed training needs to go on as if nothing had happened. Gone when it has ended."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from edge_ctc import durable
from edge_ctc.description import Sha256
from edge_ctc.durable import write_bytes
from edge_ctc.errors import DataError
from edge_ctc.toml_file import StrictModel
from trainer.out_folder import make_folder

_STATE = "state.json"
_MODEL, _BEST, _OPTIMIZER = "model.", "best.", "optimizer."


class Epoch(StrictModel):
    """One pass over the training cells.

    Attributes:
        loss: the mean over the cells as they were augmented.
        stopping_loss: of the stopping patients' cells as they are; None where there are none.
    """

    loss: float
    stopping_loss: float | None


class _State(StrictModel):
    """state.json: which tensors belong to which training, and how far it is."""

    schema_version: Literal[1]
    fingerprint: Sha256
    epochs: Annotated[tuple[Epoch, ...], Field(min_length=1)]
    tensors: Annotated[str, Field(pattern=r"^epoch-[0-9]+\.safetensors$")]
    sha256: Sha256


class WorkFolder:
    """Model and optimizer after the last whole epoch, in `<out>.work`."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Make the folder if need be.

        Args:
            folder: where it lies; its parents are made.
            fingerprint: sha256 of all that the training depends on.

        Raises:
            ResultsError: it cannot be made or written.
        """
        self.folder = folder
        self._fingerprint = fingerprint
        make_folder(folder)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder as its sole writer; one in which nothing was kept goes again.

        Raises:
            ResultsHeldError: another process holds it.
            ResultsError: it cannot be locked.
        """
        with durable.sole_writer(self.folder):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    # Refused where something lies in it.
                    self.folder.rmdir()

    def restore(self, model: nn.Module, best: nn.Module | None, optimizer: torch.optim.Optimizer) -> tuple[Epoch, ...]:
        """Put the models and the optimizer back where they were, and tell of the epochs done; none: nothing to restore.

        Call it as the folder's sole writer: the gap that a kill may have left is closed first.

        Raises:
            DataError: the folder belongs to another training, or is spoilt.
            ResultsError: the folder cannot be mended.
        """
        path = self.folder / _STATE
        durable.mend(path)
        if not path.exists():
            return ()
        try:
            state = _State.model_validate_json(path.read_bytes())
            self._check_owner(state)
            content = self._tensors_of(state)
            if hashlib.sha256(content).hexdigest() != state.sha256:
                raise DataError(f"{self.folder / state.tensors}: changed since it was written; {self._way_out()}")
            _load(load(content), model, best, optimizer)
        except ValidationError as error:
            fault = error.errors()[0]
            where = "".join(f"{part}: " for part in fault["loc"])
            raise DataError(
                f"{path}: not as this version writes it ({where}{fault['msg']}); {self._way_out()}"
            ) from error
        except (OSError, SafetensorError, RuntimeError) as error:
            raise DataError(f"{self.folder}: cannot be gone on with ({error}); {self._way_out()}") from error
        return state.epochs

    def save(
        self,
        model: nn.Module,
        best: nn.Module | None,
        optimizer: torch.optim.Optimizer,
        epochs: Sequence[Epoch],
    ) -> None:
        """Keep them after the last of `epochs`; the former ones go when these are whole.

        Raises:
            ResultsError: they cannot be written.
        """
        name = f"epoch-{len(epochs)}.safetensors"
        content = save(_tensors(model, best, optimizer))
        sha256 = write_bytes(self.folder / name, content)
        state = _State(
            schema_version=1, fingerprint=self._fingerprint, epochs=tuple(epochs), tensors=name, sha256=sha256
        )
        write_bytes(self.folder / _STATE, state.model_dump_json(indent=1).encode())
        for old in self.folder.glob("epoch-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def remove(self) -> None:
        """The training has ended: nothing is left to go on with."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_owner(self, state: _State) -> None:
        if state.fingerprint != self._fingerprint:
            raise DataError(
                f"{self.folder}: begun with another recipe, labels, images or torch "
                f"({state.fingerprint[:12]}…, now {self._fingerprint[:12]}…); "
                f"go on with those, or {self._way_out()}"
            )

    def _tensors_of(self, state: _State) -> bytes:
        path = self.folder / state.tensors
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise DataError(
                f"{path}: no such file, which holds the network after epoch {len(state.epochs)}; put it back, "
                f"or {self._way_out()}"
            ) from error

    def _way_out(self) -> str:
        return f"remove {self.folder} to begin anew, or name another --out"


def _tensors(model: nn.Module, best: nn.Module | None, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = _prefixed(_MODEL, model)
    if best is not None:
        tensors |= _prefixed(_BEST, best)
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{index}.{key}": tensor.contiguous() for key, tensor in values.items()}
    return tensors


def _prefixed(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def _load(
    tensors: dict[str, Tensor], model: nn.Module, best: nn.Module | None, optimizer: torch.optim.Optimizer
) -> None:
    model.load_state_dict(_of(_MODEL, tensors))
    if best is not None:
        best.load_state_dict(_of(_BEST, tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _of(_OPTIMIZER, tensors).items():
        index, key = name.split(".")
        # The layout of the weights that it belongs to: another one could round otherwise.
        layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
        state.setdefault(int(index), {})[key] = tensor.contiguous(memory_format=layout)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _of(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
