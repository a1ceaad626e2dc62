"""What is wrong with an object, and where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """`path` is a field as in YAML (`spec.env[0].name`, empty for the whole object); `message` never shows a value."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message
