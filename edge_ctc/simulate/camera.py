"""From electrons to the counts of a 12-bit camera. Sources: `edge_ctc.simulate`."""

import numpy as np
from numpy.typing import NDArray

from edge_ctc.simulate.field import Plane
from edge_ctc.simulate.instruments import Instrument

FULL_SCALE = 4095


def expose(
    electrons: Plane, offset_drift: float, instrument: Instrument, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Give counts, uint16 0..4095, of electrons `(..., 64, 64)`, with shot and read noise, gain and offset.

    The well holds more than the converter's 4095 counts, which therefore cut first [assumed].
    """
    # Shot noise is drawn as a normal of Poisson's variance: at these counts nobody can tell the
    # two apart, and drawing Poisson takes four times as long.
    variance = np.maximum(electrons, 0) + instrument.read_noise**2
    noisy = electrons + np.sqrt(variance) * rng.standard_normal(electrons.shape, np.float32)
    counts = instrument.gain * noisy + (instrument.offset + offset_drift)
    return np.clip(np.rint(counts), 0, FULL_SCALE).astype(np.uint16)
