"""`python -m backend PORT`, see `backend.cli`; `python -m backend agent`, see `backend.agent_cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `llm-backend`: a missing extra is told by its name."""
    try:
        if sys.argv[1:2] == ["agent"]:
            from backend.agent_cli import main as agent

            agent(sys.argv[2:], prog_name="llm-backend agent")
        else:
            from backend.cli import main as server

            server()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("backend", "balancer"):
            raise
        sys.exit(f"{error.name} is not installed: pip install '.[backend]' in a checkout")


if __name__ == "__main__":
    main()
