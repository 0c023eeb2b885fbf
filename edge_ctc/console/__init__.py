"""What people see: progress, lines and tables. A bar on a terminal, plain lines everywhere else."""
