"""``python -m worker`` is the command ``openiap-worker``."""

import sys

from worker.import_path import step_back

if __name__ == "__main__":
    step_back()
    # After it: what the command line imports is not to be sought among the user's files.
    from worker.cli.app import main

    sys.exit(main())
