"""The code that CONTRIBUTING.md shows, as the modules that a contributor would write."""

import importlib
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


@cache
def documented(name: str) -> ModuleType:
    """The module `name` in the code block below its mark."""
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(rf"<!-- {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    folder = tempfile.mkdtemp()
    Path(folder, f"{name}.py").write_text(code, encoding="utf-8")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
