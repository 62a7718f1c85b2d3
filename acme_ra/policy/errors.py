"""What is wrong with policy documents, and the refusals to make or take back an approval."""

from typing import NamedTuple


class PolicyMistake(NamedTuple):
    """One mistake in a policy document. `line` counts from 1; 0 where there is no line. `key` is dotted."""

    file: str
    line: int
    key: str
    message: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.message}; {self.fix}"


class PolicyErrors(Exception):
    """The policy set cannot be used. Holds every mistake that was found, not only the first."""

    def __init__(self, mistakes: list[PolicyMistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class NotApproved(Exception):
    """An approval was asked for something that this engine did not allow. A fault in the program or an attack."""


class ForgedApproval(Exception):
    """Sealed bytes that this server did not seal, or that were changed since."""
