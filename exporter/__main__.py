"""`python -m exporter` and the `watchbridge` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the version is answered before anything else is imported."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        from exporter import __version__  # noqa: PLC0415 - the fast path imports nothing else

        try:  # contextlib alone would take longer to import than all of this
            sys.stdout.write(f"watchbridge {__version__}\n")
            sys.stdout.flush()
        except OSError:
            pass  # what cannot be written is told below, where all such failures are
        else:
            return
    from exporter.cli import run  # noqa: PLC0415 - kept off the fast path

    run()


if __name__ == "__main__":
    main()
