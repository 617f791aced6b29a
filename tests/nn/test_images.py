"""Images turned one by one are those turned together."""

import torch

from skyloom.nn.images import dihedral, turned


def test_each_image_is_turned_in_its_own_way():
    images = torch.arange(8 * 2 * 9.0).view(8, 2, 3, 3)
    found = turned(images, torch.arange(8))
    for number in range(8):
        assert torch.equal(found[number], dihedral(images, number)[number])
    assert len({tuple(x.flatten().tolist()) for x in turned(images[:1].expand(8, -1, -1, -1), torch.arange(8))}) == 8
