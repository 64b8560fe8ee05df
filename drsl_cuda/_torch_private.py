"""What this package uses of torch without a promise that it stays: every such name, once.

torch 2.10 to 2.15 have them all. tests/test_torch_private.py says which one a newer torch has dropped.
"""

import torch

# A context in which operators skip autograd, as their kernels do. What runs in it is the forward or
# the backward of a torch.autograd.Function: its derivative is written down, not recorded.
below_autograd = torch._C._AutoDispatchBelowAutograd

# Whether a call is inside of torch.func.grad, vmap, jvp, ..., so that it is refused in words of ours.
transforms_are_active = torch._C._are_functorch_transforms_active

# (operator, dispatch key) -> whether a kernel is registered: what this build can do on a device.
has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
