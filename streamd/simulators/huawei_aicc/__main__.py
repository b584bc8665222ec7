"""Run `python -m streamd.simulators.huawei_aicc`."""

import sys

from streamd.simulators.huawei_aicc.cli import main

sys.exit(main())
