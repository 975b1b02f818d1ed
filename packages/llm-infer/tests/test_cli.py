"""The command line: what a user types, what comes out, and how mistakes end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from llm_cli.main import run
from llm_convert.model import open_model
from llm_data.tokenizer import load_tokenizer
from llm_infer.engine import SamplingParams
from llm_infer.load import Backend, load_engine
from llm_kernels import native


def llm(*words, stdin="", **settings):
    command = [sys.executable, "-m", "llm_cli", *map(str, words)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False, **settings
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys, llm_infer.cli, llm_infer.predict.options\n"
        "assert not {'numpy', 'paddle', 'tokenizers', 'jinja2', 'llm_kernels'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    page = llm("infer", "--help")
    assert page.returncode == 0
    assert "predict" in page.stdout
    assert "--quant_type" in llm("infer", "predict", "--help").stdout


def test_a_prompt_on_the_command_line_or_standard_input(tiny_model):
    words = (
        "infer",
        "--model_name_or_path",
        tiny_model,
        "--max_length",
        "24",
        "--threads",
        "1",
        "--block_attn",
    )
    given = llm(*words, "--prompt", "Once upon")
    assert given.returncode == 0, given.stderr
    assert given.stdout.strip()
    assert "tokens/s" in given.stderr
    assert llm(*words, stdin="Once upon").stdout == given.stdout
    whole = llm(*words, "--prompt", "Once upon", "--stream", "false")
    assert whole.stdout == given.stdout


def test_several_prompts_are_shown_in_order(tiny_model):
    words = ("infer", "--model_name_or_path", tiny_model, "--max_length", "24", "--threads", "1")
    single = [llm(*words, "--prompt", text).stdout for text in ("One", "[b]Two")]
    both = llm(*words, "--prompt", "One", "--prompt", "[b]Two", "--batch_size", "2").stdout
    assert both == f"[1] One\n{single[0]}[2] [b]Two\n{single[1]}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quant_type", "weight_only_int44"], "Did you mean weight_only_int4?"),
        (["--quant_type", "a8w"], "Did you mean a8w8?"),
        (["--decode_strategy", "beam_serch"], "Did you mean beam_search?"),
        (["--decode_strategy", "beam_search", "--num_beams", "0"], "--num_beams is 0"),
        (["--use_fake_parameter"], "--benchmark"),
        (["--export_precache"], "--prefix_path"),
        (["--model_type", "gpt-3"], "--model_type is gpt-3"),
        (["--avx_type", "fp16_int8", "--quant_type", "weight_only_int4"], "--avx_type"),
        (["--num_beams", "2"], "--decode_strategy beam_search"),
        (["--early_stopping", "never"], "--decode_strategy beam_search"),
        (["--min_p", "0.1"], "--decode_strategy sampling"),
        (["--total_max_length", "1"], "--total_max_length is 1"),
        (["--inference_model", "false", "--avx_model"], "--avx_model is the native engine"),
        (["--mode", "static"], "--mode dynamic"),
        (["--cachekv_int8_type", "static"], "needs"),
        (["--dtype", "float16"], "bfloat16"),
        (["--inference_model", "false", "--dtype", "bfloat16"], "--dtype bfloat16 needs"),
        (["--device", "gpu"], "--device cpu"),
        (["--prefix_path", "x"], "--prefix_path x: x does not exist"),
        (["--cachekv_int8_type", "dynamik"], "Did you mean dynamic?"),
        (["--top_p", "0.9"], "--decode_strategy sampling"),
        (["--src_lenght", "9"], "src_length"),
        (["--src_length", "4"], "6 tokens, but at most 4"),
        (["--max_length", "1"], "--max_length is 1"),
        (["--num_blocks", "-1"], "--num_blocks is -1; it must be at least 1"),
        (["--num_blocks", "1000000000"], "num_blocks is 1000000000, a KV cache of 49"),
        (["--threads", "0"], "--threads is 0; it must be at least 1"),
        (["--temperature", "-1", "--decode_strategy", "sampling"], "temperature is -1"),
        (["--inference_model", "false", "--block_attn"], "--block_attn"),
        (["--lora_path", "absent"], "absent"),
        (["--chat_template", "absent"], "absent"),
        (["--data_file", "absent.json"], "absent.json"),
        (["--block_size", "7"], "multiples of 16"),
    ],
)
def test_mistakes_end_with_a_sentence(tiny_model, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    command = ("infer", "--model_name_or_path", str(tiny_model), "--prompt", "a lion", *words)
    # In this process: what is printed and returned is what the command line prints and returns.
    code = run(list(command))
    said = capsys.readouterr().err
    assert code == 2, said
    assert told in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_beam_search_is_the_engines(tiny_model):
    words = ("--max_length", "24", "--threads", "1", "--num_beams", "3", "--length_penalty", "0.5")
    words += ("--decode_strategy", "beam_search", "--early_stopping", "never", "--prompt", "a lion")
    answer = llm("infer", "--model_name_or_path", tiny_model, *words)
    assert answer.returncode == 0, answer.stderr
    tokenizer = load_tokenizer(tiny_model)
    engine = load_engine(tiny_model, tokenizer=tokenizer, backend=Backend(threads=1))
    params = SamplingParams(
        max_new_tokens=18,
        min_new_tokens=1,
        num_beams=3,
        length_penalty=0.5,
        early_stopping="never",
    )
    text = engine.submit(tokenizer.encode("a lion", True), params).text()
    engine.close()
    assert answer.stdout == text + "\n"


def test_names_of_paddlenlp_mean_what_they_did(tiny_model):
    words = ("infer", "--model_name_or_path", tiny_model, "--prompt", "Once", "--threads", "1")
    meant = ("--quant_type", "weight_only_int8", "--cachekv_dtype", "float32")
    plain = llm(*words, "--max_length", "20", *meant)
    names = ("--avx_model", "--avx_type", "fp16_int8", "--avx_cachekv_type", "fp16")
    names += ("--append_attn", "--use_flash_attention", "--model_type", "llama")
    named = llm(*words, "--total_max_length", "20", *names)
    assert named.returncode == 0, named.stderr
    assert named.stdout == plain.stdout


def test_a_tuned_prefix_for_all_prompts_or_chosen_by_a_line(tiny_model, tmp_path):
    model = open_model(tiny_model)
    sizes = model.sizes
    for name, places in (("one", 5), ("two", 70)):
        shape = (sizes.layers, 2, sizes.kv_heads, places, sizes.head_dim)
        (tmp_path / name).mkdir()
        caches = np.random.default_rng(places).standard_normal(shape).astype(np.float32)
        np.save(tmp_path / name / "pre_caches.npy", caches)
    words = ("infer", "--model_name_or_path", tiny_model, "--max_length", "20", "--threads", "1")
    told = [
        llm(*words, "--prompt", "Once", "--export_precache", "--prefix_path", tmp_path / name)
        for name in ("one", "two")
    ]
    assert all(answer.returncode == 0 for answer in told), told[0].stderr
    lines = [{"src": "Once", "prefix": name} for name in ("two", "one", "two")]
    (tmp_path / "in.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    both = [("--prefix_path", f"{name}={tmp_path / name}") for name in ("one", "two")]
    words += (*both[0], *both[1], "--data_file", tmp_path / "in.json", "--batch_size", "3")
    answer = llm(*words, "--output_file", tmp_path / "out.json")
    assert answer.returncode == 0, answer.stderr
    found = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [record["output"] + "\n" for record in found] == [
        told[1].stdout,
        told[0].stdout,
        told[1].stdout,
    ]
    (tmp_path / "in.json").write_text('{"src": "Once"}\n')
    unsaid = llm(*words, "--output_file", tmp_path / "other.json")
    assert unsaid.returncode == 2
    assert "in.json:1: --prefix_path names several (one, two), and none was chosen" in unsaid.stderr


def test_a_missing_model_and_truncated_weights(tiny_model, tmp_path):
    absent = llm("infer", "--model_name_or_path", tmp_path / "absent", "--prompt", "x")
    assert absent.returncode == 2
    assert "absent does not exist" in absent.stderr
    for file in tiny_model.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[:-99] if file.suffix != ".json" else content)
    cut = llm("infer", "--model_name_or_path", tmp_path, "--prompt", "x")
    assert cut.returncode == 2
    assert "truncated" in cut.stderr
    assert "Traceback" not in absent.stderr + cut.stderr


def test_a_config_file_of_options(tiny_model, tmp_path):
    config = {"model_name_or_path": str(tiny_model), "prompt": ["Once"], "max_length": 12}
    (tmp_path / "run.json").write_text(json.dumps(config))
    short = llm("infer", "predict", tmp_path / "run.json")
    assert short.returncode == 0, short.stderr
    longer = llm("infer", "predict", tmp_path / "run.json", "--max_length", "20")
    assert longer.stdout.startswith(short.stdout.rstrip("\n"))
    assert len(longer.stdout) > len(short.stdout)


def test_a_killed_run_over_a_file_goes_on_without_losing_or_repeating(tiny_model, tmp_path):
    lines = [{"src": f"line {i} of many", "tgt": f"é{i}"} for i in range(600)]
    (tmp_path / "in.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["infer", "--model_name_or_path", tiny_model, "--data_file", tmp_path / "in.json"]
    words += ["--max_length", "60", "--batch_size", "4", "--threads", "1"]
    words += ["--output_file"]
    journal = tmp_path / "out.json.partial"
    for least in (20, 150):
        running = subprocess.Popen(
            [sys.executable, "-m", "llm_cli", *map(str, words), str(tmp_path / "out.json")],
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 30
        while not journal.is_file() or journal.read_bytes().count(b"\n") < least:
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.002)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
    assert not (tmp_path / "out.json").exists()
    kept = journal.read_bytes()
    with journal.open("ab") as stream:
        stream.write(b'{"index": 599, "out')
    resumed = llm(*words, tmp_path / "out.json")
    assert resumed.returncode == 0, resumed.stderr
    assert f"holds {len(kept.splitlines()) - 1} answers" in resumed.stderr
    assert not journal.exists()
    assert llm(*words, tmp_path / "whole.json").returncode == 0
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    answers = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [{"src": a["src"], "tgt": a["tgt"]} for a in answers] == lines
    assert all(answer["output"] for answer in answers)


def test_benchmark_writes_its_figures(tiny_model, tmp_path):
    words = ("infer", "--model_name_or_path", tiny_model, "--benchmark", "--src_length", "40")
    words += ("--max_length", "60", "--batch_size", "3", "--output_file", tmp_path / "b.json")
    answer = llm(*words, "--quant_type", "weight_only_int8", "--speculate_ngram", "2")
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "b.json").read_text())
    assert figures["new_tokens"] == 20
    for name in (
        "load_s", "ttft_s", "prefill_tokens_per_s", "decode_tokens_per_s", "decode_gb_per_s",
        "rss_mb", "repetitive_decode_tokens_per_s", "speculated_decode_tokens_per_s",
    ):  # fmt: skip
        assert figures[name] > 0
    assert figures["same_tokens"] is True
    assert figures["accepted_tokens"] <= figures["drafted_tokens"]
    assert figures["quant_type"] == "weight_only_int8"
    assert figures["isa"] == native.selected_isa()
    assert figures["threads"] >= 1
    assert figures["weight_bytes"] > 10_000
    # 3 layers, 2 KV heads of 16 elements, keys and values in bfloat16, 50 tokens on average.
    assert figures["cachekv"] == "bfloat16"
    assert figures["bytes_per_step"] == figures["weight_bytes"] + 3 * 50 * 3 * 2 * 2 * 16 * 2
    assert 0 <= figures["python_share"] < 1
    refused = llm(*words, "--max_length", "41")
    assert refused.returncode == 2
    assert "--src_length 40" in refused.stderr


def test_benchmark_of_a_config_alone(golden, tmp_path):
    (tmp_path / "m").mkdir()
    shutil.copy(golden / "qwen2_moe" / "config.json", tmp_path / "m")
    words = ("infer", "--model_name_or_path", tmp_path / "m", "--benchmark", "--src_length", "20")
    words += ("--max_length", "30", "--output_file", tmp_path / "b.json", "--quant_type", "a8w8c8")
    answer = llm(*words, "--use_fake_parameter")
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "b.json").read_text())
    assert figures["decode_tokens_per_s"] > 0
    assert (figures["quant_type"], figures["cachekv"]) == ("a8w8", "dynamic")
    without = llm(*words)
    assert without.returncode == 2
    assert "weights" in without.stderr


def test_a_family_with_a_prefix_answers(golden, tiny_model, tmp_path):
    import tokenizers

    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "chatglm" / name, tmp_path)
    tokenizer = tokenizers.Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    mask, start = tokenizer.id_to_token(247), tokenizer.id_to_token(250)
    tokenizer.add_special_tokens([mask, start])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"$A {mask} {start}", special_tokens=[(mask, 247), (start, 250)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    engine = load_engine(tmp_path, backend=Backend(threads=1))
    ids = tokenizer.encode("Once upon").ids
    assert ids[-2:] == [247, 250]
    events = list(engine.submit(ids, SamplingParams(max_new_tokens=12, ignore_eos=True)))
    engine.close()
    words = ("--prompt", "Once upon", "--max_length", len(ids) + 12, "--threads", "1")
    answer = llm("infer", "--model_name_or_path", tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.rstrip("\n") == tokenizer.decode([event.token_id for event in events])
