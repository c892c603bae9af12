"""``python -m workflow_agent`` is the command line."""

from __future__ import annotations

import sys

from workflow_agent.cli import main

sys.exit(main())
