"""edge_ctc: circulating tumor cell calls beside a DEPArray scanner."""

from importlib.metadata import version

__version__ = version("edge-ctc")
