"""What out-of-fold scores tell: cross-validation, figures, intervals, evidence, audit."""
