"""`python -m nr_vqm` is the same command as `nr-vqm`."""

from nr_vqm import cli

if __name__ == "__main__":
    cli.entry_point()
