"""Fine-tuning: a training that begins with the weights of an earlier run."""
