"""`python -m wfplatform.cli`: the command where its script is not installed."""

from wfplatform.cli import main

if __name__ == "__main__":
    main()
