"""Reading an exported run: names on disk to cells and channels, files to counts. Nothing here writes."""
