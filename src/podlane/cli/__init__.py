"""One file per command: arguments and output only. The work is in the programs below."""
