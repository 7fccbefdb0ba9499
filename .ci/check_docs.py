"""Check README and docs: relative links lead somewhere, python blocks compile."""

import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def complaints(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    found = [
        f"{page}: no such file: {link}"
        for link in LINK.findall(text)
        if not (page.parent / link).exists()
    ]
    for match in BLOCK.finditer(text):
        try:
            compile(match[1], str(page), "exec")
        except SyntaxError as error:
            line = text.count("\n", 0, match.start(1)) + (error.lineno or 0)
            found.append(f"{page}, line {line}: {error.msg}")
    return found


root = Path(__file__).resolve().parents[1]
pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
found = [line for page in pages for line in complaints(page)]
print("\n".join(found) or f"{len(pages)} pages: links and python blocks are good")
sys.exit(bool(found))
