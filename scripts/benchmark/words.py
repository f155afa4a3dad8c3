"""What words of the command line stand for."""


def whole_numbers(text: str) -> list[int]:
    """`1,16` is [1, 16]."""
    return [int(part) for part in text.split(",")]
