"""Where things live in each family of models: one small entry each, and nothing about them anywhere else."""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn, tanh

from unteach.schema import InputError


@dataclass(frozen=True)
class Anatomy:
    """Module paths of one family.

    `trunk` is everything below the output head, `blocks` the list of layers (from the root), `norm` the final
    norm; `attn_out` and `mlp_out` are the last linear maps of a block's two halves, from the block. `packs` says
    that its attention can be given from outside, `sums` that what its halves put out is added to the stream as it is.
    `entered` names the norms in front of a block's halves, each with the linear maps that read it, in the order in
    which they run; none where the halves read the stream itself.
    """

    trunk: str
    blocks: str
    norm: str
    attn_out: str
    mlp_out: str
    entered: tuple[tuple[str, tuple[str, ...]], ...] = ()
    packs: bool = True
    sums: bool = True


_ATTENDS = "input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_GATES = ("mlp.gate_proj", "mlp.up_proj")
_LLAMA = Anatomy(
    "model", "model.layers", "model.norm", "self_attn.o_proj", "mlp.down_proj",
    (_ATTENDS, ("post_attention_layernorm", _GATES)),
)  # fmt: skip
_NORMED = replace(_LLAMA, entered=(_ATTENDS, ("pre_feedforward_layernorm", _GATES)), sums=False)

FAMILIES: dict[str, Anatomy] = {
    "gpt2": Anatomy(
        "transformer", "transformer.h", "transformer.ln_f", "attn.c_proj", "mlp.c_proj",
        (("ln_1", ("attn.c_attn",)), ("ln_2", ("mlp.c_fc",))),
    ),
    "gptj": Anatomy(
        "transformer", "transformer.h", "transformer.ln_f", "attn.out_proj", "mlp.fc_out",
        (("ln_1", ("attn.q_proj", "attn.k_proj", "attn.v_proj", "mlp.fc_in")),), packs=False,
    ),
    "gpt_neox": Anatomy(
        "gpt_neox", "gpt_neox.layers", "gpt_neox.final_layer_norm", "attention.dense", "mlp.dense_4h_to_h",
        (
            ("input_layernorm", ("attention.query_key_value",)),
            ("post_attention_layernorm", ("mlp.dense_h_to_4h",)),
        ),
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _NORMED,
    "gemma3_text": _NORMED,
    "phi3": replace(
        _LLAMA,
        entered=(
            ("input_layernorm", ("self_attn.qkv_proj",)),
            ("post_attention_layernorm", ("mlp.gate_up_proj",)),
        ),
    ),
    "olmo2": replace(_LLAMA, entered=(), sums=False),  # norms stand behind its halves alone
}  # fmt: skip


def anatomy(model: nn.Module) -> Anatomy:
    """The entry of a model's family; an unknown family is refused with the known ones."""
    family = str(getattr(model.config, "model_type", "?"))
    if family not in FAMILIES:
        raise InputError(unknown(family))
    return FAMILIES[family]


def unknown(family: str) -> str:
    """Why a model of this family cannot be used, and how another one is added."""
    known = ", ".join(sorted(FAMILIES))
    return (
        f"models of type '{family}' are not supported; supported are {known}; for another, name its parts in an entry of "
        "unteach.lm.anatomy.FAMILIES"
    )


def trunk(model: nn.Module) -> nn.Module:
    """The part of a model below its output head."""
    return model.get_submodule(anatomy(model).trunk)


def blocks(model: nn.Module) -> nn.ModuleList:
    """The layers, first to last."""
    found = model.get_submodule(anatomy(model).blocks)
    assert isinstance(found, nn.ModuleList)
    return found


def head(model: Any, hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
    """Logits from final hidden states, with the soft cap of the families that have one (Gemma 2)."""
    logits: Tensor = model.get_output_embeddings()(hidden)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return tanh(logits / cap) * cap if cap else logits


def stored_in_out(module: nn.Module) -> bool:
    """True where a linear map keeps its weight as (in, out), as GPT-2's Conv1D does."""
    return type(getattr(module, "base_layer", module)).__name__ == "Conv1D"


def plain_name(name: str) -> str:
    """The name a parameter has in the plain model, without the wrappers that PEFT puts around a layer."""
    return name.replace(".base_layer.", ".")
