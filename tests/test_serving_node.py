"""A serving node gets the inference package from wheels, and nothing of training."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLOSURE = ["llm-cli", "llm-kernels", "llm-convert", "llm-data", "llm-infer"]
# pip, setuptools and all bytecode included.
MOST_MEGABYTES = 150
FOREIGN = {"paddle", "paddlenlp", "torch", "transformers", "matplotlib", "llm_train", "llm_peft"}


# As most shells have it, and as some images do: Python may, or may not, write bytecode.
WRITING = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
NOT_WRITING = {**WRITING, "PYTHONDONTWRITEBYTECODE": "1"}


def checked(*command: str | Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command outside the checkout's folders; fail with what it printed."""
    words = [str(word) for word in command]
    answer = subprocess.run(words, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with llm-infer, installed from wheels by tools/install."""
    base = tmp_path_factory.mktemp("node")
    wheels = base / "wheels"
    sources = [ROOT / ("tools" if name == "llm-cli" else "packages") / name for name in CLOSURE]
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, *sources]
    checked(sys.executable, "-m", "pip", *build)

    environment = base / "venv"
    venv.create(environment, with_pip=True)
    # Training needs numpy 1 and what goes with it; a serving node gets whatever is current.
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = base / "constraints.txt"
    of_training = ("numpy==", "ml_dtypes==")
    constraints.write_text("\n".join(p for p in pins if not p.startswith(of_training)))
    python = environment / "bin" / "python"
    checked(
        *(sys.executable, ROOT / "tools" / "install", "--python", python, "--wheels", wheels),
        *("llm-infer", "--pip", "-q", "-c", constraints),
        env=NOT_WRITING,
    )
    return environment


def test_help_shows_only_what_is_installed(node: Path) -> None:
    page = checked(node / "bin" / "llm", "--help").stdout
    for present in ("infer", "convert", "data", "kernels"):
        assert f" {present} " in page
    for absent in ("train", "peft", "quant", "serve"):
        assert f" {absent} " not in page


def test_bytecode_of_what_a_start_imports_is_there_in_any_shell(node: Path) -> None:
    for module in ("click/core.py", "llm_cli/main.py", "llm_infer/predict/run.py"):
        (source,) = node.glob(f"lib/python*/site-packages/{module}")
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), module


def test_it_answers(node: Path, tiny_model: Path, tmp_path: Path) -> None:
    answer = checked(
        *(node / "bin" / "llm", "infer", "--model_name_or_path", tiny_model, "--block_attn"),
        *("--prompt", "Once upon a time", "--max_length", "32"),
        cwd=tmp_path,
        env=WRITING,
    )
    assert answer.stdout.strip()
    assert not list(tmp_path.iterdir())


def test_after_its_first_answer_it_is_small_and_holds_nothing_of_training(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = next(node.glob("lib/python*/site-packages"))
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / 1e6
    with capsys.disabled():
        sys.stdout.write(f"\n[site-packages of a serving node: {size:.0f} MB] ")
    assert size <= MOST_MEGABYTES
    assert not FOREIGN & {path.name for path in packages.iterdir()}


def test_without_paddle_the_extra_is_named(node: Path, tiny_model: Path) -> None:
    command = [node / "bin" / "llm", "infer", "--model_name_or_path", tiny_model]
    command += ["--inference_model", "false", "--prompt", "x"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert 'tools/install "llm-infer[paddle]"' in answer.stderr
    assert "Traceback" not in answer.stderr
