"""Run `python -m streamd.simulators.omilia`."""

import sys

from streamd.simulators.omilia.cli import main

sys.exit(main())
