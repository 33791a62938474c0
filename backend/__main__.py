"""`python -m backend PORT`; see `backend.cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `llm-backend`: a missing extra is told by its name."""
    try:
        from backend.cli import main as command
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("backend", "balancer"):
            raise
        sys.exit(f"{error.name} is not installed: pip install 'llm-balancer[backend]'")
    command()


if __name__ == "__main__":
    main()
