"""`python -m bench`: acme-ra and step-ca side by side."""

import sys

from bench.run import main

sys.exit(main())
