"""Run `python -m streamd.simulators.oracle_isr`."""

import sys

from streamd.simulators.oracle_isr.cli import main

sys.exit(main())
