"""What is wrong, and how to mend it: checks of a server and of the issuers that point at it."""
