"""Text: tokenizing and cleaning."""
