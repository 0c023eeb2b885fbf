"""One patient's cells, each from its own stream of random numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import ConfigError
from edge_ctc.simulate.field import SIDE_PX
from edge_ctc.simulate.forms import form_of
from edge_ctc.simulate.optics import bright_field, expose, fluorescence, phase_of, stains_of
from edge_ctc.simulate.patients import CTC_SHARES, LEUKOCYTE_SHARES, Patient, bodies_of, pick


@dataclass(frozen=True, slots=True)
class SimulatedCell:
    """One cell and the truth about it.

    Attributes:
        number: 1..N, the place in the run.
        label: `CTC` or `LEUKOCYTE`; doublets, debris and dead cells count as leukocytes.
        kind: What it was made as, such as `ctc_marker_low` or `granulocyte`.
        diameter_um: Diameter of the disc with the area of all bodies of the cell together.
        images: uint16 `(4, 64, 64)` in the order of `CHANNELS`, counts 0..4095.
    """

    number: int
    label: str
    kind: str
    diameter_um: float
    images: NDArray[np.uint16]


def simulate_cells(cells: int, ctcs: int, seed: int) -> Iterator[SimulatedCell]:
    """Simulate one patient's cells, in the order of their numbers.

    Args:
        cells: How many cells, CTCs included.
        ctcs: How many of them are CTCs.
        seed: The patient. The same three figures give the same pixels.

    Raises:
        ConfigError: Counts that no run can have, or a negative seed.
    """
    _check_counts(cells, ctcs, seed)
    patient = Patient.draw(_stream(seed, 0, 0))
    chosen = frozenset((_stream(seed, 0, 1).choice(cells, ctcs, replace=False) + 1).tolist())
    return (_cell(number, number in chosen, patient, _stream(seed, number)) for number in range(1, cells + 1))


def _check_counts(cells: int, ctcs: int, seed: int) -> None:
    if cells < 1:
        raise ConfigError(f"cells: found {cells}, expected 1 or more; ask for at least one cell")
    if not 0 <= ctcs <= cells:
        raise ConfigError(f"ctcs: found {ctcs}, expected 0 to {cells}, the cells; ask for fewer")
    if seed < 0:
        raise ConfigError(f"seed: found {seed}, expected 0 or more; choose another seed")


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _cell(number: int, is_ctc: bool, patient: Patient, rng: np.random.Generator) -> SimulatedCell:
    kind = pick(CTC_SHARES if is_ctc else LEUKOCYTE_SHARES, rng)
    bodies = bodies_of(kind, patient.ctc_um if is_ctc else 1.0, rng)
    phase = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    stains = np.zeros((3, SIDE_PX, SIDE_PX), np.float32)
    for body in bodies:
        form = form_of(body, rng)
        phase += phase_of(body, form, rng)
        stains += stains_of(body, form, patient, rng)
    defocus = rng.normal(*patient.focus)
    bright = bright_field(phase, defocus, patient)
    light = np.concatenate([bright[None], fluorescence(stains, defocus, patient, rng)])
    return SimulatedCell(
        number=number,
        label="CTC" if is_ctc else "LEUKOCYTE",
        kind=kind,
        diameter_um=2 * sum(body.radius**2 for body in bodies) ** 0.5,
        images=expose(light, patient, rng),
    )
