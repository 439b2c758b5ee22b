#!/usr/bin/env python3
"""Code that a page shows is the code of a test: every region between "// [PAGE" and "// ]" of a source file stands in
the page as a block of its own. Usage: docs_example.py PROJECT PAGE SOURCE"""
import pathlib
import re
import sys
import textwrap

project, page, source = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
regions = re.findall(rf"^ *// \[{re.escape(page)}\n(.*?)^ *// \]$", (project / source).read_text(), re.S | re.M)
blocks = re.findall(r"^```cpp\n(.*?)^```$", (project / page).read_text(), re.S | re.M)
if not regions:
    sys.exit(f"{source} has no region for {page}")
for region in map(textwrap.dedent, regions):
    if region not in blocks:
        sys.exit(f"{page} does not show this of {source}:\n{region}")
print(f"{page}: {len(regions)} blocks are those of {source}")
