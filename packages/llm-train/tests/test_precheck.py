"""What is said before Paddle is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm_convert.errors import ConvertError
from llm_kernels.errors import UnknownFamilyError
from llm_train.precheck import check_model


def test_a_good_folder_passes_without_paddle(config_folder: Path) -> None:
    script = (
        f"from llm_train.precheck import check_model; check_model({str(config_folder)!r});"
        "import sys; sys.exit('paddle' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_bad_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="does not exist"):
        check_model(str(tmp_path / "none"))
    (tmp_path / "config.json").write_text('{"architectures": ["NoSuchModel"]}')
    with pytest.raises(UnknownFamilyError):
        check_model(str(tmp_path))


@pytest.mark.parametrize("family", ["chatglm", "glm", "chatglm2", "glm4", "gpt2", "bloom"])
def test_every_family_passes(golden: Path, family: str) -> None:
    check_model(str(golden / family))
