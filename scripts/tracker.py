"""Start a Request Tracker to try Forestall with: Debian's packages, on loopback, files in one folder.

``python -m scripts.tracker FOLDER`` serves until Ctrl-C. What a shell needs to know of it is in
``FOLDER/tracker.env``: its address, Forestall's token, and that of Ann, who works there.
"""

import argparse
import contextlib
import sys
import threading
from pathlib import Path

from scripts.request_tracker import request_tracker


def main() -> None:
    """Serve until Ctrl-C."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    folder: Path = words.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt), request_tracker(folder) as tracker:
        (folder / "tracker.env").write_text(
            f"export TRACKER_URL={tracker.url}\n"
            f"export TRACKER_TOKEN={tracker.tokens['forestall']}\n"
            f"export TRACKER_ANN={tracker.tokens['ann']}\n"
        )
        sys.stdout.write(f"Request Tracker on {tracker.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
