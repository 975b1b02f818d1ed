"""Names of GGUF files (llama.cpp), for the families whose tensors they hold one by one."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint
from llm_kernels.families import FamilySpec

LAYER = "blk.{layer}."
STEMS = {
    "embed": "token_embd",
    "attn_norm": LAYER + "attn_norm",
    "q": LAYER + "attn_q",
    "k": LAYER + "attn_k",
    "v": LAYER + "attn_v",
    "out": LAYER + "attn_output",
    "mlp_norm": LAYER + "ffn_norm",
    "gate": LAYER + "ffn_gate",
    "up": LAYER + "ffn_up",
    "down": LAYER + "ffn_down",
    "final_norm": "output_norm",
}
QK_NORMS = {"q_norm": LAYER + "attn_q_norm", "k_norm": LAYER + "attn_k_norm"}
# Divisors of the rotary frequencies; they are read with the metadata.
FREQUENCIES = "rope_freqs.weight"
_IGNORE = (r"^rope_freqs\.weight$",)

PAIRS = Checkpoint(STEMS, rope_rows="pairs", head="output.weight", ignore=_IGNORE)
HALVES = Checkpoint(STEMS, head="output.weight", ignore=_IGNORE)

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}

TABLES = {
    "llama": PAIRS,
    "mistral": PAIRS,
    "qwen2": HALVES,
    "qwen3": Checkpoint({**STEMS, **QK_NORMS}, head="output.weight", ignore=_IGNORE),
}


def architecture(spec: FamilySpec) -> str:
    """GGUF's `general.architecture` of a family that has a table here."""
    return ARCHITECTURES[spec.name]
