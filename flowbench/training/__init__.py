"""One LightningModule for any flow: steps, optimisers, averages, resume."""
