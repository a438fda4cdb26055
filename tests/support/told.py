"""A monitor that remembers."""

from __future__ import annotations

from seq2seq.training.monitoring import Silent, Step


class Told(Silent):
    """Keeps what is said, and what is shown of updates."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.steps: list[Step] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def about(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]
