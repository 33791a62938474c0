"""``python -m frontend``."""

from frontend.cli import main

if __name__ == "__main__":
    main()
