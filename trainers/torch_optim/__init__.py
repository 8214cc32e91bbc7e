"""Steps of `torch.optim`'s optimizers as pure maps, for the analysis of training loops that use them."""
