"""Complex layers, activations and initial weights; parameters are stored as real pairs."""
