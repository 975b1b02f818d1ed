"""A 2 GB checkpoint in the shards of two ranks made whole: ours, `cp`, and loading everything.

    python packages/llm-convert/benchmarks/bench_merge_tp.py [--rounds 3] [--folder DIR]

By turns: `llm train merge-tp` of model_state.tp00.pdparams and its neighbour, `cp` of the two with
`sync`, splitting whole weights into them, and a script that loads both with Paddle, joins and
saves.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from side_by_side import COPY, SHARD, arguments, compare, copying, llm, make, make_elsewhere, script

from llm_convert.model import open_model
from llm_convert.parallel.writing import split_model

# Rows of the embedding and of what takes a layer's inner width back are shared out by rows, other
# linears by columns; norms are whole on each rank.
PADDLE = """
import sys
from pathlib import Path
import paddle
source, target = map(Path, sys.argv[1:])
target.mkdir()
ranks = [paddle.load(str(file)) for file in sorted(source.glob("*.pdparams"))]
whole = {}
for name, first in ranks[0].items():
    by_rows = any(word in name for word in ("o_proj", "down_proj", "embed"))
    parts = [paddle.to_tensor(rank[name]) for rank in ranks]
    whole[name] = parts[0] if first.ndim == 1 else paddle.concat(parts, axis=0 if by_rows else 1)
paddle.save(whole, str(target / "model_state.pdparams"), protocol=4)
"""


def make_both(folder: Path) -> None:
    """The whole checkpoint, in `folder`/whole, and its shards, in `folder`/shards."""
    make(folder / "whole")
    (folder / "shards").mkdir()
    split_model(open_model(folder / "whole"), folder / "shards", tensor=2)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    if options.make:
        make_both(options.make)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        make_elsewhere(__file__, source)
        whole, shards = source / "whole", source / "shards"
        ours = llm("train", "merge-tp", shards, "--verify", "false", "--output_path", target)
        splitting = llm("train", "merge-tp", whole, "--verify", "false", "--output_path", target)
        ways = {
            "llm train merge-tp": [*ours, "--max_shard_size", SHARD],
            COPY: copying(shards, target),
            "llm train merge-tp --tensor_parallel_degree 2": [
                *splitting,
                *("--tensor_parallel_degree", "2"),
            ],
        }
        if not options.without_paddle:
            ways["load all with Paddle, join, save"] = script(PADDLE, shards, target)
        compare(ways, source, target, options.rounds)


if __name__ == "__main__":
    main()
