"""From a data set to trained weights: samples, losses, closed-form solutions, the training loop."""
