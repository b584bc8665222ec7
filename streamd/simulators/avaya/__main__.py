"""Run `python -m streamd.simulators.avaya`."""

import sys

from streamd.simulators.avaya.cli import main

sys.exit(main())
