"""loss/make_loss.py: as TransReID, with features of unit length on request."""

import torch.nn.functional as F

from .triplet_loss import TripletLoss


def make_loss(cfg, num_classes):
    if cfg.MODEL.NO_MARGIN:
        triplet = TripletLoss()
    else:
        triplet = TripletLoss(cfg.SOLVER.MARGIN)

    if cfg.MODEL.IF_LABELSMOOTH == 'on':
        raise NotImplementedError

    def weighed(losses):
        """Half for the whole, half for the mean of the parts."""
        whole, *parts = losses
        return whole if not parts else (whole + sum(parts) / len(parts)) / 2

    def loss_func(score, feat, target, target_cam):
        scores, feats = (v if isinstance(v, list) else [v] for v in (score, feat))
        of_identity = weighed([F.cross_entropy(s, target) for s in scores])
        of_features = weighed([triplet(f, target, normalize_feature=cfg.SOLVER.TRP_L2)[0] for f in feats])
        return cfg.MODEL.ID_LOSS_WEIGHT * of_identity + cfg.MODEL.TRIPLET_LOSS_WEIGHT * of_features

    return loss_func, None
