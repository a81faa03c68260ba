"""`python -m coord.cli` is `coordctl`: how `up` starts its spoke, whatever is on the PATH."""

from __future__ import annotations

import sys

from coord.cli import main

sys.exit(main())
