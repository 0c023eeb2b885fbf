"""What physicians said of a run's cells: taken in, compared, and made into labels and a recovery list."""
