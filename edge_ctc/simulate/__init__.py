"""Simulated DEPArray runs with known truth: for the demo, the tests and the benchmarks.

One seed is one patient. Bright field is a phase object that Fresnel propagation carries out of
focus; the fluorescence channels are projected stains behind a defocused, Gaussian point spread.
Lengths are in um, intensities in counts of a 12-bit camera. Each figure names its source:

- [size] Mol Oncol 2020, doi 10.1002/1878-0261.12802: median diameters of CTCs 7.5 (colorectal),
  8.6 (bladder), 10.3 (prostate), 12.4 (breast), of leukocytes 9.4, all overlapping.
- [blood] Biomicrofluidics 2019, doi 10.1063/1.5087690, Table II: lymphocytes from 7, neutrophils
  from 10, monocytes largest. Ours are smaller: spheres in suspension, pooled to 9.4.
- [index] PMC5647217: the nucleus refracts less than the cytoplasm.
- [textbook] what haematology and microscopy courses teach.
- [assumed] nobody has published it; set so that a network has to work (see tests/test_simulate.py).
"""

from edge_ctc.simulate.cells import SimulatedCell, simulate_cells
from edge_ctc.simulate.field import CHANNELS, PIXEL_SIZE_UM, SIDE_PX
from edge_ctc.simulate.folder import Layout, write_run

__all__ = ["CHANNELS", "PIXEL_SIZE_UM", "SIDE_PX", "Layout", "SimulatedCell", "simulate_cells", "write_run"]
