"""Engines: what runs a network, behind the one interface that a search knows."""
