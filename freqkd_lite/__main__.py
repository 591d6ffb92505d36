"""`python -m freqkd_lite`, which is how `accelerate launch -m` starts the command `freqkd`."""

from freqkd_lite.cli.app import main

if __name__ == "__main__":
    main()
