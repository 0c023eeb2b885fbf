"""edge_ctc: circulating tumor cell calls beside a DEPArray scanner."""

import os
from importlib.metadata import version

# Before anything imports ONNX Runtime: from 1.32 on it notes a device id in the user's home and reports to its maker.
# Nothing of a lab's machine leaves it by us.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = version("edge-ctc")
