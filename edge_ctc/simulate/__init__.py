"""Simulated DEPArray runs with known truth: for the demo, the tests, the benchmarks and the reference checkpoints.

One seed is one patient, another is one instrument. A patient's cells are bodies with a refractive index and three
stains (`kinds`, `patients`, `bodies`, `forms`, `scene`); an instrument looks at them (`instruments`, `view`, `optics`,
`camera`). Bright field is a phase object that Fresnel propagation carries out of focus; fluorescence is the projected
stain behind a Gaussian point spread that widens with wavelength and defocus. Lengths are in um, light in electrons,
images in counts of a 12-bit camera. Pictures, and every figure with its source: `docs/simulator.md`.

Sources, as the modules cite them; a figure without one of them is [assumed]:

- [size] Mol Oncol 2020, doi 10.1002/1878-0261.12802: median diameters of CTCs 7.5 (colorectal),
  8.6 (bladder), 10.3 (prostate), 12.4 (breast), of leukocytes 9.4, all overlapping.
- [blood] Biomicrofluidics 2019, doi 10.1063/1.5087690, Table II: lymphocytes from 7, neutrophils
  from 10, monocytes largest. Ours are smaller: spheres in suspension, pooled to 9.4.
- [index] PMC5647217: the nucleus refracts less than the cytoplasm.
- [gauss] Zhang, Zerubia, Olivo-Marin, Appl. Opt. 46:1819 (2007): the wide-field point spread in focus is nearly a
  Gaussian of sigma 0.21 wavelength / NA.
- [morphology] Jansson et al., BMC Cancer 16:433 (2016), PMC4938919: apoptotic CTCs, clusters of CTCs and CTCs with
  leukocytes occur in blood of breast cancer patients. We take no shares from it.
- [cellsearch] PMC6210778: stained DAPI, CK-PE and CD45-APC; many nuclei stay without a class until granulocytes get
  a marker of their own.
- [eosinophil] Blood eosinophils glow unusually brightly, from their granules, most at 520 nm (1981; "Eosinophil
  autofluorescence and its use in isolation and analysis of human eosinophils using flow microfluorometry").
- [textbook] what haematology and microscopy courses teach.
- [assumed] nobody has published it; set so that a network has to work (see tests/test_simulate.py).
"""

from edge_ctc.simulate.cells import SimulatedCell, focal_series, simulate_cells
from edge_ctc.simulate.field import CHANNELS, PIXEL_SIZE_UM, SIDE_PX
from edge_ctc.simulate.folder import Layout, write_run

__all__ = [
    "CHANNELS",
    "PIXEL_SIZE_UM",
    "SIDE_PX",
    "Layout",
    "SimulatedCell",
    "focal_series",
    "simulate_cells",
    "write_run",
]
