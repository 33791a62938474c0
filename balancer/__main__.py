"""``python -m balancer``."""

from __future__ import annotations

from balancer.cli import main

if __name__ == "__main__":
    main(prog_name="python -m balancer")
