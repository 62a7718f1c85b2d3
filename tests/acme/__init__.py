"""RFC flows against the edge, in process over loopback, with a registration authority kept in memory."""
