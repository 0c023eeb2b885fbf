"""What people look at: reports, plots, picture sheets, the model card."""
