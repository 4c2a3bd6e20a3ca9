"""Sub-stages to shell text: pure functions from a frozen context to a script.

``writer`` knows quoting and the trace's colours, ``bash`` the frame that every script has, the other
modules one sub-stage each. The text runs in bash, dash and busybox ash, and needs nothing else than
sh, git and ``gitlab-runner-helper``.
"""
