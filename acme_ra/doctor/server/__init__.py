"""A server, looked at from its configuration file. It need not run."""
