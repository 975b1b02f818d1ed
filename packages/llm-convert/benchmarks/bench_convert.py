"""A 2 GB checkpoint from the hub's layout to PaddleNLP's: ours, `cp`, and loading everything.

    python packages/llm-convert/benchmarks/bench_convert.py [--rounds 3] [--folder DIR]

A random bfloat16 Llama in shards is made in DIR (a temporary folder by default). Then, by turns:
`llm convert`, `cp` of the same files with `sync`, and a script that loads all with Paddle,
transposes and saves. `--verified` adds a conversion with its certificate.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from side_by_side import COPY, SHARD, arguments, compare, copying, llm, make, make_elsewhere, script

# PaddlePaddle takes and gives bfloat16 as NumPy's uint16.
PADDLE = """
import sys
from pathlib import Path
import ml_dtypes, numpy, paddle
from safetensors.numpy import load_file, save_file
source, target = map(Path, sys.argv[1:])
target.mkdir()
tensors = {}
for file in sorted(source.glob("*.safetensors")):
    for name, array in load_file(file).items():
        tensors[name] = paddle.to_tensor(array.view(numpy.uint16))
for name, tensor in tensors.items():
    if tensor.ndim == 2 and "embed" not in name:
        tensors[name] = tensor.T.contiguous()
arrays = {name: tensor.numpy().view(ml_dtypes.bfloat16) for name, tensor in tensors.items()}
save_file(arrays, target / "model.safetensors")
"""


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    if options.make:
        make(options.make)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        make_elsewhere(__file__, source)
        ours = llm("convert", "--from_torch", source, "--output_path", target)
        ours += ["--max_shard_size", SHARD, "--verify"]
        ways = {"llm convert": [*ours, "false"], COPY: copying(source, target)}
        if not options.without_paddle:
            ways["load all with Paddle, transpose, save"] = script(PADDLE, source, target)
        if options.verified:
            ways["llm convert, with its certificate"] = [*ours, "true"]
        compare(ways, source, target, options.rounds)


if __name__ == "__main__":
    main()
