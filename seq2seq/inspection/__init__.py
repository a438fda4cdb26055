"""A look inside a model at work: gradients of its states, gates, connectivity."""
