"""The command line. One file per command, in ``commands``: arguments and output only.

Their work is in the programs below, and what wires them is here by topic: ``project`` (what is
compiled), ``run`` (``podlane run``), ``runner`` (``podlane runner``), ``servers`` (the others).
"""
