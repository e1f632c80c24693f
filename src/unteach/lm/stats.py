"""Second moments of what goes into the last linear map of each MLP: C = E[k k'], over the tokens of a sample of text.

One pass over the sample serves all layers, and goes no further than the last of them. What is kept on disk are numbers
and what they were made from, by digests; no text.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from itertools import chain
from os import replace as rename
from pathlib import Path
from tempfile import mkdtemp

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from scipy.linalg.blas import ssyrk
from torch import Tensor

from unteach.lm.anatomy import anatomy
from unteach.lm.batch import Row, collate
from unteach.lm.lean import gelus, instead
from unteach.lm.model import LM
from unteach.schema import InputError

TEXTS_AT_ONCE = 256  # of which the tokenizer notes every place
TOKENS_AT_ONCE = 4096
RIDGE = 1e-4  # of the mean diagonal
LEAST = 2  # texts: two halves are compared


@dataclass(frozen=True, eq=False)
class Moments:
    """The second moment (D, D) of each layer, from `count` tokens.

    `spread` is how far the moments of two halves of the sample are apart, relative to their mean (Frobenius, the
    greatest of all layers): the smaller, the less more text would change.
    """

    of: dict[int, Float[Tensor, "D D"]]
    count: int
    spread: float

    @cached_property
    def _factors(self) -> dict[int, Tensor]:
        return {}

    def factor(self, layer: int) -> Float[Tensor, "D D"]:
        """The Cholesky factor of a layer's moment in float64, computed once.

        Where the sample is too small to be told apart from a singular one, a ten-thousandth of the mean of its diagonal
        is added to it.
        """
        if layer not in self._factors:
            moment = self.of[layer].double()
            found, failed = torch.linalg.cholesky_ex(moment)
            if failed or self.count < len(moment):
                found = torch.linalg.cholesky(
                    moment + RIDGE * moment.diagonal().mean() * torch.eye(len(moment)).to(moment)
                )
            self._factors[layer] = found
        return self._factors[layer]


def mlp_out(lm: LM, layer: int) -> str:
    """The path of the last linear map of a layer's MLP."""
    where = anatomy(lm.model)
    return f"{where.blocks}.{layer}.{where.mlp_out}"


def second_moments(lm: LM, texts: Sequence[str], layers: Sequence[int], *, cache: Path | None = None) -> Moments:
    """The moments of some layers over all tokens of some texts; with `cache` they are kept there and found again.

    A text longer than the model's context is cut. Kept results are named by the digests of model and texts.
    """
    if len(texts) < LEAST:
        raise InputError(f"second moments need at least {LEAST} texts; give more, one a line")
    place = cache / _name(lm, texts, layers) if cache is not None else None
    if place is not None and (place / "moments.json").is_file():
        return _read(place, layers)
    found = _gathered(lm, texts, sorted(set(layers)))
    if place is not None:
        _keep(found, place)
    return found


@torch.no_grad()
def _gathered(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> Moments:
    told = partial(lm.tokenizer, return_attention_mask=False)
    parts = (told(list(texts[i : i + TEXTS_AT_ONCE]))["input_ids"] for i in range(0, len(texts), TEXTS_AT_ONCE))
    encoded = chain.from_iterable(parts)
    rows = [Row(tuple(ids[: lm.max_length]), len(ids)) for ids in encoded if ids]
    halves = [_Sums(), _Sums()]
    for half, some in zip(halves, (rows[::2], rows[1::2]), strict=True):
        for part in _parts(sorted(some, key=lambda r: r.ids)):
            batch = collate(part, [""] * len(part), pad=lm.pad, device=lm.device, share=True)
            often = batch.sources[batch.real].bincount()
            with instead(lm.model, gelus(lm.model)):
                inputs = lm.inputs(batch, [mlp_out(lm, n) for n in layers])
            for layer, keys in zip(layers, inputs, strict=True):
                half.add(layer, keys, often)
            half.count += int(often.sum())
    count = halves[0].count + halves[1].count
    sums = [{n: half.whole(n) for n in layers} for half in halves]
    whole = {n: (sums[0][n] + sums[1][n]) / count for n in layers}
    apart = [sums[0][n] / halves[0].count - sums[1][n] / halves[1].count for n in layers]
    spread = max(float(d.norm() / c.norm()) for d, c in zip(apart, whole.values(), strict=True))
    return Moments({n: c.float() for n, c in whole.items()}, count, spread)


class _Sums:
    """Running sums in float64 of products in float32."""

    def __init__(self) -> None:
        self.of: dict[int, Tensor] = {}
        self.count = 0

    def add(self, layer: int, keys: Float[Tensor, "R D"], often: Int[Tensor, " R"]) -> None:
        """Keys count as often as their tokens stand in the sample: several texts may begin with one."""
        many = (often > 1).nonzero()[:, 0]
        keys[many] *= often[many, None].sqrt()
        product = _products(keys).double()
        self.of[layer] = self.of[layer].add_(product) if layer in self.of else product

    def whole(self, layer: int) -> Float[Tensor, "D D"]:
        """The sum of both triangles, of which one was computed."""
        lower = self.of[layer].tril()
        return lower + lower.tril(-1).T


def _products(keys: Float[Tensor, "R D"]) -> Float[Tensor, "D D"]:
    """Of every two columns, at least the lower triangle: a processor needs half the time for that alone."""
    if keys.device.type == "cpu" and keys.dtype == torch.float32:
        return torch.from_numpy(ssyrk(1.0, keys.numpy().T).T)
    return keys.T @ keys


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    parts: list[list[Row]] = []
    room = 0
    for row in rows:
        if not parts or len(row.ids) > room:
            parts.append([])
            room = TOKENS_AT_ONCE
        parts[-1].append(row)
        room -= len(row.ids)
    return parts


def _name(lm: LM, texts: Sequence[str], layers: Sequence[int]) -> str:
    sha = sha256()
    for text in texts:
        sha.update(sha256(text.encode("utf-8", "surrogatepass")).digest())
    return sha256(json.dumps([lm.digest(), sha.hexdigest(), sorted(layers)]).encode()).hexdigest()[:32]


def _keep(moments: Moments, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=".moments-", dir=place.parent))
    save_file({str(n): c.contiguous() for n, c in moments.of.items()}, fresh / "moments.safetensors")
    about = {"count": moments.count, "spread": moments.spread}
    (fresh / "moments.json").write_text(json.dumps(about), encoding="utf-8")
    if not place.exists():
        rename(fresh, place)


def _read(place: Path, layers: Sequence[int]) -> Moments:
    about = json.loads((place / "moments.json").read_text(encoding="utf-8"))
    kept = load_file(place / "moments.safetensors")
    return Moments({n: kept[str(n)] for n in sorted(set(layers))}, int(about["count"]), float(about["spread"]))
