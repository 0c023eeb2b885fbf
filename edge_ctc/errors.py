"""The error tree, its classes chosen by how far a failure reaches.

```
EdgeCtcError
├── ConfigError            a profile, recipe, option or setting is wrong: stop, a restart mends nothing
├── CheckpointError        the checkpoint is spoilt or unreadable: stop, a restart mends nothing
├── InputMissingError      a checkpoint, labels or truth that the user named is not there: name another
├── DataError              what the user handed in contradicts itself, labels for instance: mend it first
├── UnavailableError       what calling needs is not on this machine, or not proved there: stop, nothing is written
├── EngineError            the engine failed or answers wrongly: stop, nothing is written, a restart may mend it
│   ├── EngineSpoiltError  an engine changed since it was built, or was built elsewhere: stop, build it again
│   └── GpuFailedError     the GPU or its driver failed: stop, a restart may mend it
├── RunError               this run waits, the others go on
│   ├── RunMissingError    the folder is not there
│   ├── NotARunError       the folder is there and holds no run that a profile accounts for
│   ├── RunUnreadableError the disk or share failed while the run was read: try again later
│   ├── CalledByAnotherError another model called it, and not every row could be made anew
│   ├── ResultsHeldError   another process writes results there: try again later
│   └── ResultsError       the results cannot be written where they belong
└── ImageError             this cell gets a row that says NOT_EVALUABLE and why
```

Every message names the thing, what was found, what was expected, and what to do. Foreign exceptions
are translated once, where they enter, with `from`. Exit codes are given in `edge_ctc.cli.exits` alone.
"""


class EdgeCtcError(Exception):
    """Every failure that edge_ctc raises on purpose."""


class ConfigError(EdgeCtcError):
    """A profile, recipe, option or setting is wrong, or two of them do not fit each other."""


class CheckpointError(EdgeCtcError):
    """A checkpoint is incomplete, changed since it was made, or of an unknown schema."""


class InputMissingError(EdgeCtcError):
    """A checkpoint, labels or truth that the user named is not there."""


class DataError(EdgeCtcError):
    """Labels or another table that the user handed in are incomplete or contradict the runs."""


class EngineError(EdgeCtcError):
    """An engine could not be opened, failed, or gave answers that cannot be vouched for."""


class EngineSpoiltError(EngineError):
    """A built engine is not as it was built, or was not built by this installation."""


class GpuFailedError(EngineError):
    """CUDA reported an error."""


class UnavailableError(EdgeCtcError):
    """No GPU, no driver, no runtime, or no engine that was proved on this machine."""


class RunError(EdgeCtcError):
    """One run cannot be called now."""


class RunMissingError(RunError):
    """The run folder does not exist or is no folder."""


class NotARunError(RunError):
    """The folder is not a run: no cells, or files that no profile accounts for."""


class RunUnreadableError(RunError):
    """The disk failed, or a file changed, while the run was read. Never a row: the data may be fine."""


class CalledByAnotherError(RunError):
    """Another model called the run, and calling it anew would lose rows of cells whose images are gone."""


class ResultsHeldError(RunError):
    """Another process holds the results folder as its only writer."""


class ResultsError(RunError):
    """Something could not be written to its place. What stood there before still stands."""


class ImageError(EdgeCtcError):
    """One image is torn, of a wrong kind, or does not fit the model."""
