r"""Section markers and colours of a trace (runner-protocol 4.7).

``section_start:<unix seconds>:<name>\r<clear line>`` … ``section_end:…``.
"""

from __future__ import annotations

CLEAR = "\x1b[0K"
RESET = "\x1b[0;m"
BOLD_RED = "\x1b[31;1m"
BOLD_GREEN = "\x1b[32;1m"
BOLD_YELLOW = "\x1b[33;1m"
BOLD_CYAN = "\x1b[36;1m"
YELLOW = "\x1b[0;33m"
GREY = "\x1b[0;37m"


def start(name: str, description: str, seconds: float) -> str:
    """Return the marker that opens a section, followed by its description in bold cyan."""
    return f"section_start:{int(seconds)}:{name}\r{CLEAR}{CLEAR}{BOLD_CYAN}{description}{RESET}\n"


def end(name: str, seconds: float) -> str:
    """Return the marker that closes a section."""
    return f"section_end:{int(seconds)}:{name}\r{CLEAR}"


def info(line: str) -> str:
    """Return a line in bold green, as the runner prints its good news."""
    return f"{BOLD_GREEN}{line}{RESET}\n"


def service(line: str) -> str:
    """Return a line that a service printed, as GitLab Runner colours it."""
    return f"{GREY}{line}{RESET}\n"


def warning(line: str) -> str:
    """Return a line marked as a warning."""
    return f"{YELLOW}WARNING: {line}{RESET}\n"


def error(line: str) -> str:
    """Return a line marked as an error."""
    return f"{BOLD_RED}ERROR: {line}{RESET}\n"
