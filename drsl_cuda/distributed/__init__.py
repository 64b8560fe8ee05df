"""The losses over the ranks of torch.distributed, with the gradient of the one big batch."""

from drsl_cuda.distributed.loss import DistributedLoss, distributed_loss

__all__ = ["DistributedLoss", "distributed_loss"]
