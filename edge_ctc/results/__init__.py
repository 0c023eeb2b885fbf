"""What edge_ctc says of a run: the calls, and the manifest that commits them."""
