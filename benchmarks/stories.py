"""A real pretrained model in miniature: a llama2.c checkpoint as a folder that `transformers` opens.

The checkpoint is llama2.c's first format in float32: seven numbers, then every weight. Its attention turns
neighbouring pairs of a head's dimensions; `transformers` turns each dimension of the first half with its partner
in the second, so the rows of the query and key maps are put in another order.
"""

import argparse
import struct
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unteach.lm.load import quiet

BEGIN, END = 1, 2  # the ids llama2.c gives to <s> and </s>
UNKNOWN, BYTES = 0, 3  # and to <unk> and the first of 256 byte tokens


def main(arguments: list[str]) -> None:
    """Convert the only checkpoint in a folder, with the only tokenizer beside it."""
    parser = argparse.ArgumentParser("python -m benchmarks stories", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with stories260K.bin and tok512.bin")
    parser.add_argument("--out", type=Path, default=Path("runs/stories260k"))
    chosen = parser.parse_args(arguments)
    convert(chosen.data / "stories260K.bin", chosen.data / "tok512.bin", chosen.out)
    print(f"{chosen.out}: load it as any model folder")


def convert(checkpoint: Path, vocabulary: Path, out: Path) -> None:
    """Write the model in safetensors and its tokenizer into one folder."""
    config, weights = read_checkpoint(checkpoint)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    with quiet():
        model.save_pretrained(out)
    pieces = read_vocabulary(vocabulary, config.vocab_size)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(pieces),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=config.max_position_embeddings,
    )
    tokenizer.save_pretrained(out)


def read_checkpoint(path: Path) -> tuple[LlamaConfig, dict[str, Tensor]]:
    """The configuration and the weights under the names `transformers` gives them."""
    raw = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, positions = struct.unpack_from("<7i", raw)
    own_head, vocabulary = vocabulary < 0, abs(vocabulary)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=dim, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=positions,
        rms_norm_eps=1e-5, tie_word_embeddings=not own_head, bos_token_id=BEGIN, eos_token_id=END,
    )  # fmt: skip
    head = dim // heads
    shapes: dict[str, tuple[int, ...]] = {  # in the order of the file
        "model.embed_tokens": (vocabulary, dim),
        "input_layernorm": (layers, dim),
        "self_attn.q_proj": (layers, dim, dim),
        "self_attn.k_proj": (layers, kv_heads * head, dim),
        "self_attn.v_proj": (layers, kv_heads * head, dim),
        "self_attn.o_proj": (layers, dim, dim),
        "post_attention_layernorm": (layers, dim),
        "mlp.gate_proj": (layers, hidden, dim),
        "mlp.down_proj": (layers, dim, hidden),
        "mlp.up_proj": (layers, hidden, dim),
        "model.norm": (dim,),
        "rotations": (2, positions, head // 2),  # follow from the configuration
        "lm_head": (vocabulary, dim) if own_head else (0,),
    }
    found = _named(_cut(raw, shapes, path), layers, head)
    return config, found if own_head else found | {"lm_head.weight": found["model.embed_tokens.weight"]}


def _cut(raw: bytes, shapes: dict[str, tuple[int, ...]], path: Path) -> dict[str, Tensor]:
    sizes = [torch.Size(shape).numel() for shape in shapes.values()]
    if len(raw) != 28 + 4 * sum(sizes):
        raise SystemExit(f"{path}: {len(raw)} bytes where its header asks for {28 + 4 * sum(sizes)}; copy it again")
    parts = torch.frombuffer(bytearray(raw), dtype=torch.float32, offset=28).split(sizes)
    return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def _named(parts: dict[str, Tensor], layers: int, head: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        if name in ("self_attn.q_proj", "self_attn.k_proj"):
            part = part.unflatten(1, (-1, head // 2, 2)).transpose(2, 3).flatten(1, 3)
        if name.startswith(("model.", "lm_head")) and part.numel():
            found[f"{name}.weight"] = part.clone()
        elif part.shape[0] == layers and name != "rotations":
            found |= {f"model.layers.{i}.{name}.weight": part[i].clone() for i in range(layers)}
    return found


def read_vocabulary(path: Path, size: int) -> list[tuple[str, float]]:
    """Every token with its score; an id is its place in the list."""
    raw, at = path.read_bytes(), 4  # the greatest length of a token comes first
    found: list[tuple[str, float]] = []
    for _ in range(size):
        score, length = struct.unpack_from("<fi", raw, at)
        found.append((raw[at + 8 : at + 8 + length].decode(), score))
        at += 8 + length
    return found


def byte_pairs(pieces: list[tuple[str, float]]) -> Tokenizer:
    """llama2.c's encoding: a space before the text, characters or else bytes, then the best-scored pair merges first."""
    special = {UNKNOWN: "<unk>", BEGIN: "<s>", END: "</s>"}
    ids = {special.get(i, text): i for i, (text, _) in enumerate(pieces)}
    ranked = sorted((-score, i) for i, (_, score) in enumerate(pieces) if i >= BYTES + 256)
    merges = [
        (pieces[i][0][:cut], pieces[i][0][cut:])
        for _, i in ranked
        for cut in range(1, len(pieces[i][0]))
        if {pieces[i][0][:cut], pieces[i][0][cut:]} <= ids.keys()
    ]
    inner = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Prepend(" ")
    inner.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
    return inner
