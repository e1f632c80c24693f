"""Tokenizers that do at the border between prompt and answer what real ones do."""

import json
from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

BEGIN, END, PAD = "<s>", "</s>", "<pad>"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


def _wrapped(inner: Tokenizer, *, prefix: str = "", suffix: str = "") -> PreTrainedTokenizerFast:
    pattern = " ".join(p for p in (prefix, "$A", suffix) if p)
    specials = [(t, inner.token_to_id(t)) for t in (BEGIN, END)]
    inner.post_processor = processors.TemplateProcessing(single=pattern, special_tokens=specials)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=BEGIN, eos_token=END, pad_token=PAD)


def across_words(texts: Iterable[str], *, prefix: str = BEGIN, suffix: str = "") -> PreTrainedTokenizerFast:
    """Byte-level pairs that do not stop at word borders: prompt and answer merge where they meet."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[BEGIN, END, PAD], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    return _wrapped(inner, prefix=prefix, suffix=suffix)


def dummy_space(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """As sentencepiece does it: a space before every text, spaces kept in the tokens, bytes for what is unknown."""
    texts = list(texts)
    seen = sorted({c for t in texts for c in t.replace(" ", "▁")} | {"▁"})
    pieces = [BEGIN, END, PAD, *(f"<0x{b:02X}>" for b in range(256)), *seen]
    grown = Tokenizer(models.BPE())
    grown.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    grown.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    merges = _merges(grown)
    pieces += [a + b for a, b in merges if a + b not in pieces]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.add_special_tokens([AddedToken(t, special=True) for t in (BEGIN, END, PAD)])
    return _wrapped(inner, prefix=BEGIN)


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    return [tuple(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]]


def chatml(texts: Iterable[str], *, template: str = CHATML) -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template whose turns end with a token of their own."""
    found = across_words(texts)
    found.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    found.chat_template = template
    return found
