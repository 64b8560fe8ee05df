from .triplet_loss import triplet_loss

__all__ = [k for k in globals().keys() if not k.startswith("_")]
