"""The server as processes: master, workers, signals."""
