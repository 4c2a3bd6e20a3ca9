"""Write docs/reference/keywords.md from the compiler's table; a test sees that it is current."""

from __future__ import annotations

from pathlib import Path

from podlane.compiler.keywords.page import keywords_page

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "keywords.md"

if __name__ == "__main__":
    PAGE.write_text(keywords_page())
