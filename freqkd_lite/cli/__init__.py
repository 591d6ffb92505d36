"""The command `freqkd`: thin commands over the package."""


def main() -> None:
    """The entry point; it imports the commands only when it is called."""
    from freqkd_lite.cli.app import main as run

    run()
