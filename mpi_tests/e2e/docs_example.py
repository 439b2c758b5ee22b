#!/usr/bin/env python3
"""The C++ of README.md and of every page of docs/ is code that is compiled: each block is a run of consecutive lines of
one of the sources, apart from its indentation. A block may begin with lines of #include that the source has elsewhere.

Usage: docs_example.py PROJECT SOURCE...
"""
import pathlib
import re
import sys
import textwrap


def holds(source, block):
    """Whether the lines of the block follow each other in the source, all with the same further indentation."""
    lines = block.splitlines()
    while lines and lines[0].startswith("#include ") and lines[0] in source:
        lines.pop(0)
    wanted = textwrap.dedent("\n".join(lines)).strip("\n").splitlines()
    for first in range(len(source) - len(wanted) + 1):
        if textwrap.dedent("\n".join(source[first:first + len(wanted)])).splitlines() == wanted:
            return True
    return False


def main():
    project = pathlib.Path(sys.argv[1])
    sources = {name: (project / name).read_text(encoding="utf-8").splitlines() for name in sys.argv[2:]}
    failures = 0
    for page in [project / "README.md", *sorted(project.glob("docs/**/*.md"))]:
        for block in re.findall(r"^```cpp\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M):
            found = [name for name, lines in sources.items() if holds(lines, block)]
            failures += not found
            print(f"{page.relative_to(project)}: {found[0] if found else 'FAILED: no source has this:'}")
            if not found:
                print(block)
    sys.exit(1 if failures else 0)


main()
