"""Golden models through the whole engine, and folders that cannot be loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from llm_convert.errors import AdapterError, ConvertError
from llm_convert.lora import sketch, write_sketch
from llm_convert.model import open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_infer.engine import SamplingParams
from llm_infer.errors import InferError, PromptTooLongError, UnsupportedError
from llm_infer.load import AdapterPaths, Backend, CacheSettings, Precision, Scheduling, load_engine
from llm_infer.quantize import with_quantized_linears
from llm_kernels.errors import KernelsError
from llm_kernels.reference_decoder import forward

CAUSAL = [
    "llama_v1", "llama_v2_gqa", "llama_v2_rope_linear", "llama_v3", "mistral", "mixtral", "qwen",
    "qwen2", "qwen2_moe", "qwen3", "baichuan_7b", "baichuan_13b", "baichuan2_7b", "bloom",
    "chatglm2", "gpt2", "opt", "deepseek_v2", "deepseek_v2_lite", "deepseek_v3", "falcon_7b",
    "falcon_11b", "falcon_40b", "falcon_rw", "gemma", "gemma2", "glm4", "glm4_0414", "glm4_chat",
    "phi3", "phi3_long", "qwen3_moe",
]  # fmt: skip
GREEDY = SamplingParams(max_new_tokens=16, ignore_eos=True)


def prompts_of(folder):
    golden = np.load(folder / "golden.npz")
    return [golden["prompt_0"].tolist(), golden["prompt_1"].tolist()], golden["generated"].tolist()


@pytest.mark.parametrize("family", CAUSAL)
def test_golden_tokens(golden, make_harness, family):
    prompts, expected = prompts_of(golden / family)
    engine = load_engine(golden / family, backend=Backend(threads=1))
    assert make_harness.generate(engine, prompts, GREEDY) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"scheduling": Scheduling(max_batch_tokens=5)},
        {"cache": CacheSettings(num_blocks=3, block_size=16)},
        {
            "cache": CacheSettings(num_blocks=2, block_size=32),
            "scheduling": Scheduling(max_batch_tokens=4),
        },
        {"backend": Backend(threads=2), "scheduling": Scheduling(max_sequences=1)},
    ],
)
def test_golden_tokens_in_chunks_and_tiny_pools(golden, make_harness, settings):
    prompts, expected = prompts_of(golden / "llama_v2_gqa")
    engine = load_engine(golden / "llama_v2_gqa", **{"backend": Backend(threads=1), **settings})
    assert make_harness.generate(engine, prompts * 3, GREEDY) == expected * 3
    assert engine.stats().free_blocks == engine.stats().num_blocks


def test_batch_of_one_equals_batch_of_many(golden, make_harness):
    random = np.random.default_rng(17)
    prompts = [random.integers(3, 256, random.integers(2, 90)).tolist() for _ in range(12)]
    for params in (
        SamplingParams(max_new_tokens=24, ignore_eos=True),
        SamplingParams(max_new_tokens=24, temperature=0.8, top_k=40, top_p=0.9, seed=3),
    ):
        folder = golden / "llama_v2_gqa"
        together = make_harness.generate(
            load_engine(folder, backend=Backend(threads=1)), prompts, params
        )
        single = load_engine(
            folder, scheduling=Scheduling(max_sequences=1), backend=Backend(threads=1)
        )
        assert together == [make_harness.generate(single, [p], params)[0] for p in prompts]


def test_preemption_on_the_real_decoder_changes_nothing(golden, make_harness):
    random = np.random.default_rng(2)
    prompts = [random.integers(3, 256, 14).tolist() for _ in range(5)]
    params = SamplingParams(max_new_tokens=60, ignore_eos=True)
    small = load_engine(
        golden / "llama_v2_gqa",
        cache=CacheSettings(num_blocks=9, block_size=16),
        backend=Backend(threads=1),
    )
    large = load_engine(
        golden / "llama_v2_gqa", cache=CacheSettings(block_size=16), backend=Backend(threads=1)
    )
    assert make_harness.generate(small, prompts, params) == make_harness.generate(
        large, prompts, params
    )
    assert small.stats().preemptions > 0
    assert large.stats().preemptions == 0


def test_a_merged_adapter_moves_the_first_token_as_peft_does(golden, make_harness):
    adapter = golden / "lora_llama_v2_gqa"
    expected = np.load(adapter / "golden.npz")
    engine = load_engine(
        golden / "llama_v2_gqa",
        adapters=AdapterPaths(lora_path=adapter),
        backend=Backend(threads=1),
    )
    prompts = [
        row[mask.astype(bool)].tolist()
        for row, mask in zip(expected["input_ids"], expected["attention_mask"], strict=True)
    ]
    first = make_harness.generate(
        engine, prompts, SamplingParams(max_new_tokens=1, ignore_eos=True)
    )
    assert [tokens[0] for tokens in first] == expected["logits"][:, -1].argmax(-1).tolist()


@pytest.mark.parametrize("quant_type", ["weight_only_int8", "weight_only_int4"])
def test_rounded_weights_answer_as_the_reference_does_with_them(golden, make_harness, quant_type):
    prompts, _ = prompts_of(golden / "llama_v2_gqa")
    model = open_model(golden / "llama_v2_gqa")
    weights = {
        key: with_quantized_linears(model.weight, quant_type)(key) for key in model.parameters
    }
    oracle = make_harness(lambda ids: forward(model.spec, model.sizes, weights, ids)[-1])
    expected = [oracle.expected(prompt, 8) for prompt in prompts]
    engine = load_engine(
        golden / "llama_v2_gqa",
        precision=Precision(quant_type=quant_type),
        backend=Backend(threads=1),
    )
    found = make_harness.generate(engine, prompts, SamplingParams(max_new_tokens=8))
    assert found == expected


def saved(source, folder, **settings):
    """The model `source` written to `folder` in another layout, or quantized."""
    folder.mkdir()
    model = open_model(source)
    weight = settings.pop("weight", model.weight)
    save_model(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=weight,
        **settings,
    )
    return folder


@pytest.mark.parametrize("with_adapter", [False, True])
@pytest.mark.parametrize("quant_type", [None, "weight_only_int8", "weight_only_int4"])
def test_paddlenlps_layout_answers_as_the_hubs_does(
    golden, make_harness, tmp_path, quant_type, with_adapter
):
    hub = golden / "llama_v2_gqa"
    prompts, _ = prompts_of(hub)
    folder = saved(hub, tmp_path / "paddlenlp", naming="paddlenlp")
    settings = {
        "precision": Precision(quant_type=quant_type),
        "adapters": AdapterPaths(lora_path=golden / "lora_llama_v2_gqa" if with_adapter else None),
        "backend": Backend(threads=1),
    }
    expected = make_harness.generate(load_engine(hub, **settings), prompts, GREEDY)
    found = make_harness.generate(load_engine(folder, **settings), prompts, GREEDY)
    assert found == expected


def test_an_adapter_of_another_base_is_refused(golden, tmp_path):
    base = open_model(golden / "llama_v2_gqa")
    adapter = shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / "adapter")
    write_sketch(adapter, sketch(base, [key for key in base.parameters if key.slot == "q"]))
    load_engine(base, adapters=AdapterPaths(lora_path=adapter), backend=Backend(threads=1)).close()
    random = np.random.default_rng(4)

    def other(key):
        shape = base.parameters[key]
        return random.standard_normal(shape).astype(np.float32)

    folder = saved(golden / "llama_v2_gqa", tmp_path / "other", naming="hf", weight=other)
    with pytest.raises(AdapterError, match=r"was trained on .*other are others"):
        load_engine(folder, adapters=AdapterPaths(lora_path=adapter))


def test_quantizing_what_is_quantized_is_refused(golden, tmp_path):
    source = golden / "llama_v2_gqa"
    model = open_model(source)
    folder = saved(
        source,
        tmp_path / "int8",
        naming="hf",
        weight=with_quantized_linears(model.weight, "weight_only_int8"),
        quantization=Quantization.uniform(model.spec, model.sizes, Scheme(8, None)),
    )
    load_engine(folder, backend=Backend(threads=1)).close()
    with pytest.raises(UnsupportedError, match=r"weight_only_int4 .*quantized to int8 already"):
        load_engine(folder, precision=Precision(quant_type="weight_only_int4"))


def test_ends_come_from_every_file(golden, tmp_path):
    shutil.copytree(golden / "llama_v2_gqa", tmp_path / "m")
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    engine = load_engine(tmp_path / "m")
    assert engine._intake._endings == {2, 7, 9}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"eos_token_id": "2"}', "eos_token_id is '2'; it must be a whole number"),
        ('{"eos_token_id": [2, true]}', "eos_token_id is .*True"),
        ("{broken", "generation_config.json cannot be read: "),
        ("[1]", "generation_config.json holds no JSON object"),
    ],
)
def test_a_broken_generation_config_is_named_before_the_weights_are_packed(
    golden, tmp_path, monkeypatch, content, words
):
    shutil.copytree(golden / "llama_v2_gqa", tmp_path / "m")
    (tmp_path / "m" / "generation_config.json").write_text(content)
    monkeypatch.setattr("llm_infer.runners.NativeDecoder", None)
    with pytest.raises(InferError, match=words):
        load_engine(tmp_path / "m")


def test_ends_that_the_model_does_not_know_are_left_out_with_a_warning(golden, tmp_path, caplog):
    shutil.copytree(golden / "llama_v2_gqa", tmp_path / "m")
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9999]}))
    assert load_engine(tmp_path / "m")._intake._endings == {2, 7}
    assert "[9999]" in caplog.text


def test_a_cache_that_was_asked_for_must_fit_too(golden, monkeypatch):
    monkeypatch.setattr("llm_infer.runners.available_bytes", lambda: 1_000_000)
    with pytest.raises(InferError, match=r"num_blocks is 7, .* From 1 to 6 blocks fit"):
        load_engine(golden / "llama_v2_gqa", cache=CacheSettings(num_blocks=7))
    assert (
        load_engine(golden / "llama_v2_gqa", cache=CacheSettings(num_blocks=6)).limits.num_blocks
        == 6
    )


def test_cache_follows_sequences_and_says_so(golden, caplog):
    caplog.set_level("INFO", "llm_infer")
    engine = load_engine(
        golden / "llama_v2_gqa", scheduling=Scheduling(max_sequences=3, max_length=130)
    )
    assert engine.limits.num_blocks == 9
    assert "9 x 64 tokens, 442.4 KB (room for 3 x 130 tokens)" in caplog.text
    assert engine.runner.cache_bytes == 9 * 64 * 3 * 2 * 2 * 16 * 4


class GlmTokens:
    """The special tokens of the fixture `glm`, whose config.json names none."""

    special_tokens: ClassVar[dict[str, int]] = {
        "[gMASK]": 254,
        "[sMASK]": 253,
        "[MASK]": 252,
        "<|startofpiece|>": 255,
    }
    eos_token_id = None

    @staticmethod
    def decode(ids):
        return "".join(map(chr, ids))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scheduling": Scheduling(max_batch_tokens=16)},
        {"cache": CacheSettings(num_blocks=3, block_size=16)},
        {"scheduling": Scheduling(max_sequences=1)},
    ],
)
@pytest.mark.parametrize(("family", "tokenizer"), [("chatglm", None), ("glm", GlmTokens())])
def test_golden_tokens_after_a_prefix(golden, make_harness, family, tokenizer, settings):
    stored = np.load(golden / family / "golden.npz")
    answers = [
        stored.get(f"generated_{i}", stored["generated"][i]).tolist()
        for i in range(len(stored["generated"]))
    ]
    prompts = [stored[f"prompt_{i}"].tolist() for i in range(len(answers))]
    engine = load_engine(
        golden / family, tokenizer=tokenizer, backend=Backend(threads=1), **settings
    )
    assert make_harness.generate(engine, prompts * 2, GREEDY) == answers * 2
    if "cache" in settings:
        assert engine.stats().preemptions > 0


def test_prompts_with_a_prefix_that_cannot_be_read(golden):
    engine = load_engine(
        golden / "chatglm", scheduling=Scheduling(max_batch_tokens=8), backend=Backend(threads=1)
    )
    with pytest.raises(PromptTooLongError, match=r"begins with 9 tokens .* takes 8"):
        engine.add_request([*range(8), 247, 250, 5], GREEDY)
    with pytest.raises(InferError, match=r"start token \(250\)"):
        engine.add_request([1, 2, 3], GREEDY)
    with pytest.raises(InferError, match="need a start and a mask token"):
        load_engine(golden / "glm")
    with pytest.raises(InferError, match="need a start and a mask token"):
        load_engine(golden / "glm", backend=Backend(inference_model=False))


def test_missing_folder_and_truncated_weights(golden, tmp_path):
    with pytest.raises(ConvertError, match="does not exist"):
        load_engine(tmp_path / "absent")
    shutil.copytree(golden / "llama_v2_gqa", tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (tmp_path / "cut" / "pytorch_model.bin").unlink()
    with pytest.raises(ConvertError, match="truncated"):
        load_engine(tmp_path / "cut")
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    (tmp_path / "cut" / "config.json").write_text(json.dumps({**config, "architectures": ["X"]}))
    with pytest.raises(KernelsError, match="X"):
        load_engine(tmp_path / "cut")


def test_unknown_quant_type_is_refused(golden):
    with pytest.raises(UnsupportedError, match="weight_only_int8"):
        load_engine(golden / "llama_v2_gqa", precision=Precision(quant_type="int8"))


def test_a_cache_that_no_block_fits_is_refused(golden, monkeypatch):
    monkeypatch.setattr("llm_infer.runners.available_bytes", lambda: 500_000)
    with pytest.raises(InferError, match=r"500\.0 KB .* 676\.6 KB .* 49\.2 KB"):
        load_engine(golden / "llama_v2_gqa")


def test_neither_paddle_nor_torch_is_imported(tiny_model):
    code = (
        "import sys\n"
        "from llm_data.tokenizer import load_tokenizer\n"
        "from llm_infer.load import load_engine\n"
        "from llm_infer.engine import SamplingParams\n"
        f"folder = {str(tiny_model)!r}\n"
        "engine = load_engine(folder, tokenizer=load_tokenizer(folder))\n"
        "stream = engine.submit([1, 2, 3], SamplingParams(max_new_tokens=3, ignore_eos=True))\n"
        "assert len(list(stream)) == 3\n"
        "engine.close()\n"
        "assert not {'paddle', 'torch', 'transformers', 'paddlenlp'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_real_model_tells_its_golden_story(shared_real):
    from llm_data.tokenizer import load_tokenizer

    folder = shared_real / "models" / "stories260K-hf"
    expected = np.load(folder / "golden.npz")
    tokenizer = load_tokenizer(folder)
    engine = load_engine(folder, tokenizer=tokenizer, backend=Backend(threads=1))
    streams = [
        engine.submit(expected[f"prompt_{i}"].tolist(), SamplingParams(max_new_tokens=64))
        for i in range(2)
    ]
    for index, stream in enumerate(streams):
        events = list(stream)
        tokens = [event.token_id for event in events]
        assert tokens == expected["generated"][index][: len(tokens)].tolist()
        whole = [*expected[f"prompt_{index}"].tolist(), *tokens]
        text = "".join(event.text for event in events)
        assert tokenizer.decode(whole) == str(expected["prompts"][index]) + text
    story = engine.submit([1], SamplingParams(max_new_tokens=200))
    tokens = [event.token_id for event in story]
    assert tokens == expected["greedy_from_bos"].tolist()[: len(tokens)]
    assert len(tokens) > 50
    engine.close()
