"""The store on SQLite: one group-committing writer per process, and reads on the event loop."""
