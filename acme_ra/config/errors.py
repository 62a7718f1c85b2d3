"""What is wrong with a configuration: every mistake, each with its place and the fix."""

from typing import NamedTuple


class Mistake(NamedTuple):
    """`source` is the file, or the environment variable, that holds it; `line` is 0 where there is none."""

    source: str
    line: int
    key: str  # dotted, "" for the whole file
    what: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.what}; {self.fix}"


class ConfigurationInvalid(Exception):
    """The configuration cannot be used. Holds all mistakes at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes
