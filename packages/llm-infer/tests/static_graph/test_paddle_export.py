"""Exported graphs through paddle.inference: the tokens of the dynamic graph and the originals."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from llm_infer.engine import PrefixLayout, SamplingParams
from llm_infer.errors import InferError, PromptTooLongError
from llm_infer.export.options import ExportOptions
from llm_infer.export.run import export
from llm_infer.load import Backend, CacheSettings, load_engine

GREEDY = SamplingParams(max_new_tokens=12, ignore_eos=True)
FAMILIES = ["baichuan_13b", "mixtral", "chatglm"]
"""ALiBi, experts, a prefix mask with two positions; rotation, grouped heads and stretched rotation
come below. Few, as each costs seconds; the other axes are those of the dynamic graph."""


@pytest.mark.parametrize("family", FAMILIES)
def test_golden_tokens(golden, make_harness, tmp_path, family):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    out = tmp_path / "out"
    export(
        ExportOptions(
            model_name_or_path=str(golden / family),
            inference_model=False,
            output_path=str(out),
            model_prefix="net",
        )
    )
    assert {"net.json", "net.pdiparams", "config.json", "COMPLETE", "llm.json"} <= {
        file.name for file in out.iterdir()
    }
    stored = np.load(golden / family / "golden.npz")
    prompts = [stored[f"prompt_{i}"].tolist() for i in range(2)]
    expected = [stored["generated"][i][:12].tolist() for i in range(2)]
    engine = load_engine(
        out,
        cache=CacheSettings(num_blocks=9, block_size=8),
        backend=Backend(inference_model=False, mode="static", model_prefix="net"),
    )
    assert make_harness.generate(engine, prompts * 2, GREEDY) == expected * 2
    beams = SamplingParams(max_new_tokens=5, ignore_eos=True, num_beams=2)
    native = load_engine(golden / family, backend=Backend(threads=1))
    assert make_harness.generate(engine, prompts[:1], beams) == make_harness.generate(
        native, prompts[:1], beams
    )


def test_from_the_command_line(tiny_model, tmp_path):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")

    def llm(*words):
        command = [sys.executable, "-m", "llm_cli", "infer", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    out = tmp_path / "out"
    words = ("--inference_model", "false", "--output_path", out)
    written = llm("export", "--model_name_or_path", tiny_model, *words)
    assert written.returncode == 0, written.stderr
    assert "Warning" not in written.stderr
    again = llm("export", "--model_name_or_path", tiny_model, *words)
    assert again.returncode == 2
    static = ("--mode", "static", "--inference_model", "false", "--prompt", "Once upon")
    answers = [
        llm("--model_name_or_path", folder, "--max_length", 30, *more)
        for folder, more in (
            (out, static),
            (tiny_model, ("--prompt", "Once upon", "--inference_model", "false")),
            (tiny_model, ("--prompt", "Once upon")),
        )
    ]
    assert [answer.returncode for answer in answers] == [0, 0, 0], answers[0].stderr
    assert answers[0].stdout == answers[1].stdout == answers[2].stdout
    none = llm("--model_name_or_path", tiny_model, *static)
    assert none.returncode == 2
    assert "holds no exported graph: static_graph.json, model.json" in none.stderr


def test_a_graph_that_is_right_up_to_a_length_takes_no_more(golden, make_harness, tmp_path):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    out = tmp_path / "out"
    options = {"inference_model": False, "output_path": str(out)}
    export(ExportOptions(model_name_or_path=str(golden / "phi3"), **options))
    graph = json.loads((out / "static_graph.json").read_text())
    engine = load_engine(out, backend=Backend(inference_model=False, mode="static"))
    assert engine.limits.max_positions == graph["max_positions"] < 256
    stored = np.load(golden / "phi3" / "golden.npz")
    prompts = [stored[f"prompt_{i}"].tolist() for i in range(2)]
    answers = make_harness.generate(engine, prompts, GREEDY)
    assert answers == [tokens[:12].tolist() for tokens in stored["generated"]]
    with pytest.raises(PromptTooLongError):
        engine.add_request([1] * graph["max_positions"], GREEDY)
    (out / "static_graph.json").write_text("{}")
    with pytest.raises(InferError, match="cannot be read"):
        load_engine(out, backend=Backend(inference_model=False, mode="static"))


def test_prefix_layout_is_known_without_weights(golden, tmp_path):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    from llm_infer.described import describe
    from llm_infer.prefix import prefix_layout

    assert isinstance(prefix_layout(describe(golden / "chatglm"), None), PrefixLayout)
