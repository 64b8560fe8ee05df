"""loss/make_loss.py: three features of different lengths, and scores of image against text."""

import torch.nn.functional as F

from .triplet_loss import TripletLoss


def make_loss(cfg, num_classes):
    if cfg.MODEL.NO_MARGIN:
        triplet = TripletLoss()
    else:
        triplet = TripletLoss(cfg.SOLVER.MARGIN)

    if cfg.MODEL.IF_LABELSMOOTH == 'on':
        raise NotImplementedError

    def loss_func(score, feat, target, target_cam, i2tscore=None):
        loss = cfg.MODEL.ID_LOSS_WEIGHT * sum(F.cross_entropy(s, target) for s in score)
        loss = loss + cfg.MODEL.TRIPLET_LOSS_WEIGHT * sum(triplet(f, target)[0] for f in feat)
        if i2tscore is not None:
            loss = loss + cfg.MODEL.I2T_LOSS_WEIGHT * F.cross_entropy(i2tscore, target)
        return loss

    return loss_func, None
