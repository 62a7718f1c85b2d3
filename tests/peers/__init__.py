"""Go programs that the tests run: published modules and small mains of our own, built once and kept in a cache."""
