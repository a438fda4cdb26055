"""Text: tokenizing, cleaning, and the embedded English-German phrasebook."""
