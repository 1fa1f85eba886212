"""``python -m nbledger.keeper HOME [--detach]``: run the keeper of a project.

With ``--detach`` the work is done by a child that belongs to no one: a kernel that shuts down ends all its children,
and the keeper must outlive it. That is the first thing done, before anything slow is imported.
"""

import os
import sys

if "--detach" in sys.argv[2:] and hasattr(os, "fork") and os.fork():
    os._exit(0)

from nbledger.keeper.process import main

sys.exit(main(sys.argv[1]))
