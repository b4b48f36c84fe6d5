"""SCEdit keeps the tuner contract; any module's output can be the skip connection."""

from swift_plugin_scedit import ScEdit
from swift_testing import TunerContract


class TestScEdit(TunerContract):
    name = "scedit"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"scedit_size": 8}
    trains = r"layers\.\d\.scedit_default\."
    identity_at_start = True
    merges = False


def test_edits_what_the_regex_names_in_a_network_of_any_kind():
    """y = decoder(x1 + T(x1)): the edit acts on the encoder's output, as in a U-Net."""
    import torch

    from swift_core.api import prepare_model

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
    x = torch.randn(3, 4)
    before = net(x)
    model = prepare_model(net, ScEdit(scedit_size=2, scedit_modules="0"))
    assert torch.equal(model(x), before)
    edit = model[0].scedit_default
    torch.nn.init.normal_(edit.change[2].weight)
    first = torch.nn.functional.linear(x, net[0].weight, net[0].bias)
    down = torch.nn.functional.gelu(first @ edit.change[0].weight.T + edit.change[0].bias)
    wanted = net[2](torch.tanh(first + down @ edit.change[2].weight.T))
    assert torch.allclose(model(x), wanted, atol=1e-6)
