"""``python -m nbledger.keeper HOME``: run the keeper of a project in the foreground."""

import sys

from nbledger.keeper.process import main

sys.exit(main(sys.argv[1]))
