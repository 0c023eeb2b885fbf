"""TensorRT's Python packages: their failures, which are None, False or -1 and a line to the logger, become errors.

Free of syntax and imports newer than Python 3.10, so that an older TensorRT can be tried with it.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from edge_ctc.errors import EngineError, UnavailableError

PACKAGES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Python's package by runtime."""


def load_package(runtime: str) -> ModuleType:
    """TensorRT's Python package, a key of `PACKAGES`.

    Raises:
        UnavailableError: it is not installed, or its libraries are not.
    """
    try:
        return importlib.import_module(PACKAGES[runtime])
    except ImportError as error:
        raise UnavailableError(
            f"{runtime} cannot be loaded ({error}); install it: `pip install 'edge-ctc[{runtime}]'`"
        ) from error


class Bindings:
    """One runtime's package, with a logger that collects errors.

    Attributes:
        runtime: a key of `PACKAGES`.
        trt: the package, which carries no types.
        logger: to be handed to what the package makes.
    """

    def __init__(self, runtime: str) -> None:
        """Load it. Raises UnavailableError where it is not installed."""
        self.runtime = runtime
        self.trt: Any = load_package(runtime)
        self._lines: list[str] = []
        self.logger = _logger(self.trt, self._lines)

    def made(self, otherwise: str, make: Callable[..., Any], *arguments: Any) -> Any:
        """What `make` gives for `arguments`.

        Args:
            otherwise: what failed, for the error.
            make: of the package. Where it fails, a function gives None, a constructor raises TypeError.
            arguments: for it.

        Raises:
            EngineError: it failed.
        """
        try:
            thing = make(*arguments)
        except TypeError as error:
            raise self.error(otherwise) from error
        if thing is None:
            raise self.error(otherwise)
        return thing

    def error(self, what: str) -> EngineError:
        """To be raised, with the lines of the logger."""
        return EngineError(f"{self.runtime} {self.trt.__version__} {what}: {self.complaints() or 'it gave no reason'}")

    def complaints(self) -> str:
        """What the logger was told of errors since this was last asked; empty for nothing."""
        said = "; ".join(dict.fromkeys(self._lines))
        self._lines.clear()
        return said


def _logger(trt: Any, lines: list[str]) -> Any:
    severe = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc] # the package carries no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in severe:
                lines.append(msg.strip())

    return Logger()
