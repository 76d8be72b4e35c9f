"""Whether files changed."""

import os
from pathlib import Path

from forestall.kernel.settings.stamps import stamp


def test_a_stamp_tells_every_change(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("a")
    stamps = [stamp([first, second])]
    second.write_text("b")
    stamps.append(stamp([first, second]))
    second.write_text("longer")
    stamps.append(stamp([first, second]))
    os.utime(second, ns=(1, 1))
    stamps.append(stamp([first, second]))
    first.unlink()
    stamps.append(stamp([first, second]))
    assert len(set(stamps)) == len(stamps)
    assert stamp([first, second]) == stamps[-1]
