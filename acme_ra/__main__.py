"""`python -m acme_ra` is the same as `acme-ra`."""

from acme_ra.cli.main import main

main()
