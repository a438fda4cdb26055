"""What has moved to ``lines``, until all rooms have come over."""

from seq2seq.storage.lines import HEAD, LONGEST_LINE, text_fault

__all__ = ["HEAD", "LONGEST_LINE", "text_fault"]
