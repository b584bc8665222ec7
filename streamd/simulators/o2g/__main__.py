"""Run `python -m streamd.simulators.o2g`."""

import sys

from streamd.simulators.o2g.cli import main

sys.exit(main())
