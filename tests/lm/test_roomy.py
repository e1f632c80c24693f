"""A cache with room holds what one without it holds, whatever joins, grows and leaves, and copies less."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, MistralConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from unteach.lm.roomy import LEAST, Roomy, closed, roomy


@given(st.lists(st.booleans(), max_size=12))
def test_the_last_rows_fill_the_gaps(stay: list[bool]) -> None:
    order = closed(stay)
    assert sorted(order) == [k for k, stays in enumerate(stay) if stays]
    assert all(k == at for at, k in enumerate(order) if stay[at])


@given(st.data())
@settings(deadline=None)
def test_it_holds_what_a_plain_one_holds(data: st.DataObject) -> None:
    ours, plain, dice = Roomy(), DynamicLayer(), torch.Generator().manual_seed(0)
    rows = data.draw(st.integers(1, 6))
    for _ in range(data.draw(st.integers(1, 12))):
        new = torch.randn(2, rows, 2, data.draw(st.sampled_from([1, 1, 3, 2 * LEAST])), 4, generator=dice)
        for given_, wanted in zip(ours.update(*new), plain.update(*new), strict=True):
            assert torch.equal(given_, wanted)
        assert ours.get_seq_length() == plain.get_seq_length()
        stay = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows).filter(any))
        order = torch.tensor(closed(stay))
        for layer in (ours, plain):
            layer.batch_select_indices(order)
        if data.draw(st.booleans()):  # others join, as long as these
            more = torch.randn(2, 2, 2, plain.get_seq_length(), 4, generator=dice)
            for layer in (ours, plain):
                layer.keys, layer.values = (torch.cat(x) for x in zip((layer.keys, layer.values), more, strict=True))
        rows = len(plain.keys)


def test_a_token_more_and_a_row_less_move_nothing_else() -> None:
    layer = Roomy()
    layer.update(*torch.randn(2, 5, 2, 7, 4))
    places = layer.keys.data_ptr(), layer.values.data_ptr()
    for _ in range(LEAST):
        layer.update(*torch.randn(2, 5, 2, 1, 4))
    layer.batch_select_indices(torch.tensor([0, 4, 2]))
    layer.update(*torch.randn(2, 3, 2, 0, 4))
    assert (layer.keys.data_ptr(), layer.values.data_ptr()) == places
    layer.update(*torch.randn(2, 3, 2, 1, 4))  # no room any more
    assert (layer.keys.data_ptr(), layer.values.data_ptr()) != places


def test_a_sliding_window_keeps_its_own_layers() -> None:
    shape = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2}
    assert [type(layer) for layer in roomy(LlamaConfig(**shape)).layers] == [Roomy] * 2
    kept = roomy(MistralConfig(**shape, sliding_window=4)).layers
    assert [type(layer) for layer in kept] == [DynamicSlidingWindowLayer] * 2
