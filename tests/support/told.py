"""A monitor that remembers."""

from __future__ import annotations

from seq2seq.training.monitoring import Silent


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def about(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]
