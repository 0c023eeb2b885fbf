"""What the loop shows, as a status and as one sentence for systemd."""

import os

from edge_ctc import __version__
from edge_ctc.daemon.face import Face
from edge_ctc.daemon.status import RunCounts, State, Status, Wait, boot_id
from edge_ctc.results.commit import utc_now


class Portrait:
    """Draws the status of one daemon."""

    def __init__(self) -> None:
        """It starts now."""
        self._started_at = self._since = utc_now()
        self._state: State = "starting"
        self._boot_id = boot_id()

    @staticmethod
    def sentence(face: Face, now: float, *, silent_s: float | None, is_ready: bool) -> str:
        """The status in a sentence, at a fraction of its cost. Arguments as of `of`."""
        return _sentence(face, _state(face, is_silent=silent_s is not None, is_ready=is_ready), now, silent_s)

    def of(self, face: Face, now: float, *, silent_s: float | None, is_ready: bool) -> Status:
        """The status.

        Args:
            face: what the loop shows.
            now: monotonic seconds.
            silent_s: for how long the export folder has not answered; None: it does, as far as is known.
            is_ready: whether the engine has answered.
        """
        state = _state(face, is_silent=silent_s is not None, is_ready=is_ready)
        if state != self._state:
            self._state, self._since = state, utc_now()
        run, done, owed = face.calling or (None, 0, 0)
        return Status(
            pid=os.getpid(),
            boot_id=self._boot_id,
            software_version=__version__,
            engine=face.engine,
            started_at_utc=self._started_at,
            updated_at_utc=utc_now(),
            state=state,
            state_since_utc=self._since,
            sentence=_sentence(face, state, now, silent_s),
            last_look_at_utc=face.last_look_at_utc,
            calling=run,
            cells_done=done,
            cells_owed=owed,
            oldest_pending_file_s=None if face.oldest_since is None else round(now - face.oldest_since, 1),
            runs=face.runs,
            verdicts=face.verdicts,
            failures=dict(face.failures),
            waits=tuple(
                Wait(run=wait.run, reason=wait.reason, for_s=round(now - wait.since, 1)) for wait in face.waits
            ),
            recent=face.recent,
        )


def _state(face: Face, *, is_silent: bool, is_ready: bool) -> State:
    if not is_ready:
        return "starting"
    if is_silent:
        return "share-silent"
    if face.away is not None:
        return "share-away"
    if face.calling is not None:
        return "calling"
    return "waiting" if face.waits else "watching"


def _sentence(face: Face, state: State, now: float, silent_s: float | None) -> str:
    # Each once: the loop sets them while this is said.
    runs, away, calling, waits = _runs(face.runs), face.away, face.calling, face.waits
    if state == "starting":
        return "Opening the engine and asking it the reference cells."
    if state == "share-silent":
        return f"The export folder has not answered for {silent_s or 0:.0f} s; nothing is taken for deleted."
    if away is not None:
        return (
            f"The export folder, or that of the results, cannot be used for {now - away.since:.0f} s ({away.reason}); "
            "nothing is taken for deleted."
        )
    if calling is not None:
        run, done, owed = calling
        return f"Calling {run}: {done} of {owed} cells. {runs}"
    if waits:
        wait = waits[0]
        more = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
        return f"{wait.run or 'Something'} waits for {now - wait.since:.0f} s ({wait.reason}){more}. {runs}"
    return f"Watching. {runs}"


def _runs(runs: RunCounts) -> str:
    growing = f", {runs.growing} growing" if runs.growing else ""
    stalled = f" ({runs.stalled} stalled)" if runs.stalled else ""
    unchecked = f", {runs.unchecked} to be looked into" if runs.unchecked else ""
    noun = "run" if runs.complete == 1 else "runs"
    return f"{runs.complete} {noun} complete{growing}{stalled}{unchecked}."
