"""A LoRA adapter folded into a 2 GB checkpoint: `llm peft merge`, `cp`, and loading everything.

    python packages/llm-convert/benchmarks/bench_lora_merge.py [--rounds 3] [--folder DIR]

The adapter has rank 8 on all linears but the head. By turns: `llm peft merge` (from the hub's
layout to PaddleNLP's, so that every linear is transposed too), `cp` of the base with `sync`, and a
script that loads all with Paddle, adds and saves. `--verified` adds a merge with its certificate.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from side_by_side import COPY, SHARD, arguments, compare, copying, llm, make, make_elsewhere, script

from llm_convert.lora import LoraAdapter, write_lora
from llm_convert.model import open_model
from llm_kernels.families import SLOTS

RANK = 8
PADDLE = """
import sys
from pathlib import Path
import ml_dtypes, numpy, paddle
from safetensors.numpy import load_file, save_file
source, adapter, target = map(Path, sys.argv[1:])
target.mkdir()
added = paddle.load(str(adapter / "lora_model_state.pdparams"))
tensors = {}
for file in sorted(source.glob("*.safetensors")):
    for name, array in load_file(file).items():
        tensors[name.replace("model.", "llama.", 1)] = paddle.to_tensor(array.view(numpy.uint16))
for name, tensor in tensors.items():
    if tensor.ndim != 2 or "embed" in name:
        continue
    tensor = tensor.T.contiguous()
    a, b = (added.get(name.replace("weight", part)) for part in ("lora_A", "lora_B"))
    if a is not None:
        a, b = paddle.to_tensor(a), paddle.to_tensor(b)
        tensor = (tensor.astype("float32") + 2.0 * (a @ b)).astype("bfloat16")
    tensors[name] = tensor
arrays = {name: tensor.numpy().view(ml_dtypes.bfloat16) for name, tensor in tensors.items()}
save_file(arrays, target / "model.safetensors")
"""


def make_both(folder: Path) -> None:
    """The base, in `folder`/base, and an adapter of it in PaddleNLP's files, in `folder`/lora."""
    make(folder / "base")
    base = open_model(folder / "base")
    rng = np.random.default_rng(1)
    pairs = {}
    for key, shape in base.parameters.items():
        if SLOTS[key.slot].kind == "linear" and key.slot != "head":
            a, b = (rng.standard_normal((size, RANK), np.float32) / 50 for size in shape[::-1])
            pairs[key] = (a, np.ascontiguousarray(b.T))
    adapter = LoraAdapter(RANK, 2.0 * RANK, 2.0, pairs)
    (folder / "lora").mkdir()
    write_lora(folder / "lora", adapter, spec=base.spec, sizes=base.sizes)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    if options.make:
        make_both(options.make)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        make_elsewhere(__file__, source)
        base, lora = source / "base", source / "lora"
        ours = llm("peft", "merge", "--model_name_or_path", base, "--lora_path", lora)
        ours = [*ours, "--to", "paddlenlp"]
        ours += ["--output_path", str(target), "--max_shard_size", SHARD]
        ways = {
            "llm peft merge --verify_tokens 0": [*ours, "--verify_tokens", "0"],
            COPY: copying(base, target),
        }
        if not options.without_paddle:
            ways["load all with Paddle, add, save"] = script(PADDLE, base, lora, target)
        if options.verified:
            ways["llm peft merge, with its certificate"] = ours
        compare(ways, source, target, options.rounds)


if __name__ == "__main__":
    main()
