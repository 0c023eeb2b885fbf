"""How large the cells of a called run are, by the images that were called."""

from functools import cached_property
from pathlib import Path

import numpy as np

from edge_ctc.appearance import central, look_at
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.gallery.called_run import CalledRun, open_called
from edge_ctc.results.calls import Call
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.committed import committed_calls


class MeasuredSizes:
    """Measures a cell when it is asked for; the run is opened for the first one."""

    def __init__(self, run: Path, place: ResultPlace, profile: LoadedProfile | None) -> None:
        """Nothing is read yet.

        Args:
            run: the folder of the images.
            place: of its calls.
            profile: None: the built-in one that called it.
        """
        self._run, self._place, self._profile = run, place, profile

    def diameter_px(self, call: Call) -> float | None:
        """Of the disc with the cell's area; None where its images are gone or changed, or show no cell.

        Raises:
            NotARunError: the run's folder is none, or another profile called it.
            RunError: the images cannot be read.
        """
        counts = self._called.counts(call)
        if not counts:
            return None
        images = np.stack([central(image) for image in counts])
        diameter = float(look_at(images, self._called.profile.bits).appearances.diameter_px[0])
        return diameter if diameter > 0 else None

    @cached_property
    def _called(self) -> CalledRun:
        manifest, _ = committed_calls(self._place)
        return open_called(self._run, self._profile, manifest)
