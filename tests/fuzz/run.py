"""Fuzz policies with atheris, guided by coverage: ``PYTHONPATH=src:tests python -m fuzz.run FOUND [OPTIONS]``.

``FOUND`` is a folder for new inputs; the options are libFuzzer's, such as ``-max_total_time=900``.
atheris is not a dependency of the project: ``pip install atheris`` first.
"""

import importlib
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz until told to stop; libFuzzer writes what broke as ``crash-*``."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["forestall"]):
        targets = importlib.import_module("fuzz.targets")
    atheris.Setup([*sys.argv, str(CORPUS)], targets.judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
