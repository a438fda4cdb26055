"""Constraints on the text of a translation: prefixes, phrases, repetition."""
