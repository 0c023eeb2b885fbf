"""The labelled cells: what is said of them, their images, who is parted from whom."""
