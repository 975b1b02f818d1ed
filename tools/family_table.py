"""The README's table of families, from comparisons that are run: ``python tools/family_table.py``.

Every golden checkpoint is computed by every decoder there is and compared with what the original
implementation computed (logits within 1e-4, the same greedy tokens), and goes hub -> PaddleNLP ->
hub, where it must come back without a changed bit. A test makes the table anew and compares.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError
from llm_convert.files.safetensors import open_safetensors
from llm_convert.model import read_config
from llm_convert.names import checkpoint
from llm_convert.verify.run import verify_golden
from llm_kernels.errors import KernelsError
from llm_kernels.families import FamilySpec, detect

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
DECODERS = ("reference", "paddle", "native")
REFUSED = "refused"


def fixtures() -> list[Path]:
    """Folders of the golden checkpoints that have a decoder."""
    return sorted(
        file.parent
        for file in GOLDEN.glob("*/golden.npz")
        if (file.parent / "config.json").is_file()
    )


def verdict(folder: Path, decoder: str) -> str:
    """``yes`` where a decoder computes what the original did, ``no``, or ``refused`` by name."""
    options = ConvertOptions(verify=str(folder), golden=str(folder / "golden.npz"), decoder=decoder)
    try:
        return "yes" if verify_golden(options) == 0 else "no"
    except KernelsError:
        return REFUSED


def round_trip(folder: Path) -> str:
    """``exact`` where hub -> PaddleNLP -> hub changes no bit, or ``refused``."""
    with tempfile.TemporaryDirectory() as place:
        there, back = f"{place}/paddlenlp", f"{place}/hf"
        try:
            convert(ConvertOptions(from_torch=str(folder), output_path=there, verify="false"))
            convert(ConvertOptions(to_torch=there, output_path=back, verify="false"))
        except ConvertError:
            return REFUSED
        stored = open_safetensors(folder / "model.safetensors")
        returned = open_safetensors(Path(back) / "model.safetensors")
        spec = detect(read_config(folder))
        kept = {name for name in stored if not is_buffer(spec, name)}
        same = kept == set(returned) and all(
            stored[name].dtype == returned[name].dtype
            and np.array_equal(stored[name].view(np.uint8), returned[name].view(np.uint8))
            for name in kept
        )
    return "exact" if same else "changed"


def is_buffer(spec: FamilySpec, name: str) -> bool:
    """Whether a stored tensor is computed anew by every implementation, such as a causal mask."""
    return any(re.search(pattern, name) for pattern in checkpoint(spec, "hf").ignore)


def table() -> str:
    """The table in Markdown; what the commands print is not shown."""
    lines = [
        "| checkpoint | `architectures` | reference | Paddle | native | hub, PaddleNLP, hub |",
        "|---|---|---|---|---|---|",
    ]
    for folder in fixtures():
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            found = [verdict(folder, decoder) for decoder in DECODERS] + [round_trip(folder)]
        name = read_config(folder)["architectures"][0]
        lines.append(f"| {folder.name} | `{name}` | {' | '.join(found)} |")
    return "\n".join(lines)


def page(current: str) -> str:
    """The README with its table made anew."""
    before, rest = current.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write the README."""
    path = ROOT / "README.md"
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main()
