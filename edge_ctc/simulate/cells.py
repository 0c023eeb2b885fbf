"""One patient's cells on one instrument, each from its own streams of random numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import ConfigError
from edge_ctc.simulate.bodies import Body, bodies_of
from edge_ctc.simulate.instruments import DEFAULT_INSTRUMENT, Day, Instrument
from edge_ctc.simulate.kinds import pick
from edge_ctc.simulate.patients import Patient
from edge_ctc.simulate.scene import Scene, scene_of
from edge_ctc.simulate.view import View, magnified, see

# The streams of a patient that belong to no cell; cells are numbered from 1.
_PATIENT, _PLACES, _DAY = (0, 0), (0, 1), (0, 3)


@dataclass(frozen=True, slots=True)
class SimulatedCell:
    """One cell and the truth about it.

    Attributes:
        number: 1..N, the place in the run.
        label: `CTC` or `LEUKOCYTE`; doublets, debris, dead and apoptotic leukocytes count as leukocytes, clusters of
            CTCs and a CTC with a leukocyte as CTC.
        kind: What it was made as, such as `ctc_marker_low` or `granulocyte`.
        diameter_um: Diameter of the disc with the area of all bodies of the cell together.
        images: uint16 `(4, 64, 64)` in the order of `CHANNELS`, counts 0..4095.
    """

    number: int
    label: str
    kind: str
    diameter_um: float
    images: NDArray[np.uint16]


def simulate_cells(cells: int, ctcs: int, seed: int, instrument: int = DEFAULT_INSTRUMENT) -> Iterator[SimulatedCell]:
    """Simulate one patient's cells, in the order of their numbers.

    Args:
        cells: How many cells, CTCs included.
        ctcs: How many of them are CTCs.
        seed: The patient. The same four figures give the same pixels.
        instrument: The instrument; 0 is the default one. The same patient has the same cells on all of them.

    Raises:
        ConfigError: Counts that no run can have, a negative seed or instrument.
    """
    _check_counts(cells, ctcs)
    run = _Run.of(seed, instrument)
    chosen = frozenset((_stream(seed, *_PLACES).choice(cells, ctcs, replace=False) + 1).tolist())
    return (run.cell(number, number in chosen) for number in range(1, cells + 1))


def focal_series(
    seed: int, number: int, is_ctc: bool, planes_um: Sequence[float], instrument: int = DEFAULT_INSTRUMENT
) -> NDArray[np.uint16]:
    """One cell of a patient at several focal planes, everything but focus and noise the same.

    Args:
        seed: The patient.
        number: Of the cell in its run, 1 or more.
        is_ctc: What the cell is, since that is drawn for a run as a whole.
        planes_um: Defocus of the bright field, Z of them in um; the stains are further by their chromatic offsets.
        instrument: The instrument; 0 is the default one.

    Returns:
        uint16 `(Z, 4, 64, 64)`, channels in the order of `CHANNELS`, counts 0..4095.

    Raises:
        ConfigError: A negative seed or instrument.
    """
    return _Run.of(seed, instrument).series(number, is_ctc, planes_um)


def _check_counts(cells: int, ctcs: int) -> None:
    if cells < 1:
        raise ConfigError(f"cells: found {cells}, expected 1 or more; ask for at least one cell")
    if not 0 <= ctcs <= cells:
        raise ConfigError(f"ctcs: found {ctcs}, expected 0 to {cells}, the cells; ask for fewer")


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@dataclass(frozen=True, slots=True)
class _Run:
    """One patient before one instrument, on one day."""

    seed: int
    instrument_number: int
    patient: Patient
    instrument: Instrument
    day: Day

    @classmethod
    def of(cls, seed: int, instrument: int) -> Self:
        if seed < 0:
            raise ConfigError(f"seed: found {seed}, expected 0 or more; choose another seed")
        if instrument < 0:
            raise ConfigError(f"instrument: found {instrument}, expected 0 or more; choose another instrument")
        patient = Patient.draw(_stream(seed, *_PATIENT))
        day = Day.draw(_stream(seed, *_DAY, instrument))
        return cls(seed, instrument, patient, Instrument.of(instrument), day)

    def cell(self, number: int, is_ctc: bool) -> SimulatedCell:
        kind, bodies, scene = self._scene(number, is_ctc)
        rng = self._sight(number)
        view = View.draw(self.instrument, self.day.at(number), rng)
        return SimulatedCell(
            number=number,
            label="CTC" if is_ctc else "LEUKOCYTE",
            kind=kind,
            diameter_um=2 * sum(body.radius**2 for body in bodies) ** 0.5,
            images=see(scene, view, self.instrument, rng),
        )

    def series(self, number: int, is_ctc: bool, planes_um: Sequence[float]) -> NDArray[np.uint16]:
        _, _, scene = self._scene(number, is_ctc)
        rng = self._sight(number)
        view = View.draw(self.instrument, self.day.at(number), rng)
        return np.stack([see(scene, view.focused(plane), self.instrument, rng) for plane in planes_um])

    def _sight(self, number: int) -> np.random.Generator:
        return _stream(self.seed, number, 1, self.instrument_number)

    def _scene(self, number: int, is_ctc: bool) -> tuple[str, list[Body], Scene]:
        rng = _stream(self.seed, number, 0)
        patient = self.patient
        kind = pick(patient.ctc_shares if is_ctc else patient.leukocyte_shares, rng)
        bodies = bodies_of(kind, patient, rng)
        return kind, bodies, scene_of(magnified(bodies, self.instrument), patient, rng)
