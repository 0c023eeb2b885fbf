"""`python -m edge_ctc` is `edge-ctc`."""

from edge_ctc.cli import main

main()
