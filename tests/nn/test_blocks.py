import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from skyloom.nn.blocks import Attention, AttentionPool, Block, CrossAttention, DropPath, attend, init_by_depth


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_attention_of_both_precisions_is_the_softmax_of_scaled_products(dtype, tolerance):
    q, k, v = torch.randn(3, 2, 4, 9, 16).to(dtype)
    expected = (q.double() @ k.double().transpose(-1, -2) / 4).softmax(-1) @ v.double()
    assert torch.allclose(attend(q, k, v).double(), expected, atol=tolerance)


def test_self_attention_agrees_with_torch():
    ours, theirs = Attention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.out.weight.data, ours.out.bias.data
    x = torch.randn(3, 7, 32)
    assert torch.allclose(ours(x), theirs(x, x, x, need_weights=False)[0], atol=1e-5)


def test_cross_attention_agrees_with_torch_when_the_context_has_another_width():
    ours = CrossAttention(32, 20, 4)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True, kdim=20, vdim=20)
    theirs.q_proj_weight.data = ours.q.weight.data
    theirs.k_proj_weight.data, theirs.v_proj_weight.data = ours.kv.weight.data.chunk(2)
    theirs.in_proj_bias.data = torch.cat([ours.q.bias.data, ours.kv.bias.data])
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.out.weight.data, ours.out.bias.data
    query, context = torch.randn(3, 2, 32), torch.randn(3, 7, 20)
    assert torch.allclose(ours(query, context), theirs(query, context, context, need_weights=False)[0], atol=1e-5)


def test_block_is_pre_norm_with_two_residuals():
    block, x = Block(16, 2), torch.randn(2, 5, 16)
    middle = x + block.attention(functional.layer_norm(x, (16,)))
    assert torch.allclose(block(x), middle + block.mlp(functional.layer_norm(middle, (16,))), atol=1e-5)


def test_layer_scale_starts_a_block_near_the_identity():
    x = torch.randn(2, 5, 16)
    assert torch.allclose(Block(16, 2, layer_scale=1e-6)(x), x, atol=1e-4)
    assert not torch.allclose(Block(16, 2)(x), x, atol=1e-2)


def test_drop_path_keeps_the_mean_and_does_nothing_in_evaluation():
    drop, x = DropPath(0.3), torch.ones(20000, 1, 1)
    dropped = drop(x)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)  # sigma .0046
    assert torch.equal(drop.eval()(x), x)


def test_pool_does_not_care_about_the_order_of_tokens_but_about_their_content():
    pool, tokens = AttentionPool(12, 16, 4, 8), torch.randn(3, 9, 12)
    out = pool(tokens)
    assert out.shape == (3, 8)
    assert torch.allclose(pool(tokens[:, torch.randperm(9)]), out, atol=1e-5)
    assert not torch.allclose(pool(tokens + torch.randn(3, 9, 12)), out, atol=1e-2)


def test_initial_weights_shrink_with_depth():
    layer = nn.Linear(512, 4096)
    init_by_depth(layer, depth=6)
    # a normal cut at 2 sigma has 0.8796 of its deviation left
    assert layer.weight.std().item() == pytest.approx(0.8796 / math.sqrt(2 * 512 * 6), rel=0.01)
    assert not layer.bias.any()
