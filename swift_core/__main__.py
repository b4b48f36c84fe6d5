"""`python -m swift_core` is `swift`."""

from swift_core.cli import main

if __name__ == "__main__":
    main()
