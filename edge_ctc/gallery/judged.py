"""What a run's images say of the run and of each cell, beside what its checkpoint learned from."""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_ctc.appearance import central, look_at, measure_each
from edge_ctc.decision import DOUBTED_FLAGS
from edge_ctc.flag_cuts import FlagCuts
from edge_ctc.preprocess import Bits, Counts
from edge_ctc.quality import MEASURED, OF_RUNS, WITHOUT_FINGERPRINT, flags_of
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import CheckpointIdentity
from edge_ctc.trust import RunLooks, Trust, trust_in

LOOKED_AT = 200
"""Cells, drawn at random, whose middle stands for the run's: more would move it by less than instruments differ."""


def trust_of(
    images: Sequence[Sequence[Counts]], bits: Bits, calls: Sequence[Call], checkpoint: CheckpointIdentity
) -> Trust:
    """Judge the run.

    Args:
        images: of the cells that were drawn and are still there, (H, W) counts per channel of the network.
        bits: as the profile declares them.
        calls: all of the run.
        checkpoint: that called it.
    """
    evaluable = [call for call in calls if call.score is not None]
    scores = [call.ood_score for call in evaluable]
    known = [score for score in scores if score is not None]
    cut, fingerprint = checkpoint.ood_cut, checkpoint.fingerprint
    asked = cut is not None and len(known) == len(scores)
    told = WITHOUT_FINGERPRINT if fingerprint is None else DOUBTED_FLAGS
    run = RunLooks(
        channels=checkpoint.input.channel_names,
        looks=measure_each([np.stack([central(one) for one in cell]) for cell in images], bits) if images else None,
        evaluable=len(scores),
        not_evaluable=len(calls) - len(scores),
        out_of_distribution=sum(score > cut for score in known) if asked and cut is not None else None,
        doubtful={flag: sum(flag in call.flags for call in evaluable) for flag in told},
    )
    return trust_in(run, None if fingerprint is None else fingerprint.runs)


class Flagger:
    """Says of a cell what its flags mean, with the figures."""

    def __init__(self, checkpoint: CheckpointIdentity, markers: Mapping[str, str], bits: Bits) -> None:
        """As the run was called.

        Args:
            checkpoint: that called it.
            markers: what each of its channels shows, in the network's order.
            bits: as the profile declares them.
        """
        self._names, self._bits = tuple(markers), bits
        self._cuts = None if checkpoint.fingerprint is None else FlagCuts.of(checkpoint.fingerprint, markers)

    def sentences(self, call: Call, images: Sequence[Counts]) -> tuple[str, ...]:
        """Of each flag but those of the run; of measured ones with figure and cuts, where images are there."""
        said = {}
        if images and not set(MEASURED).isdisjoint(call.flags):
            counts = np.stack([central(image) for image in images])
            found = flags_of(counts, look_at(counts, self._bits), self._names, self._cuts)
            said = {flag.name: flag.sentence for flag in found}
        return tuple(said.get(flag, flag) for flag in call.flags if flag not in OF_RUNS)
