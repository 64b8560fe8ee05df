import torch.nn.functional as F

from .triplet_loss import TripletLoss


def make_loss(cfg, num_classes):
    if 'triplet' in cfg.MODEL.METRIC_LOSS_TYPE:
        if cfg.MODEL.NO_MARGIN:
            triplet = TripletLoss()
        else:
            triplet = TripletLoss(cfg.SOLVER.MARGIN)

    if cfg.MODEL.IF_LABELSMOOTH == 'on':
        raise NotImplementedError

    def loss_func(score, feat, target, target_cam, i2tscore=None):
        ID_LOSS = sum([F.cross_entropy(scor, target) for scor in score[0:]])
        TRI_LOSS = sum([triplet(feats, target)[0] for feats in feat[0:]])
        loss = cfg.MODEL.ID_LOSS_WEIGHT * ID_LOSS + cfg.MODEL.TRIPLET_LOSS_WEIGHT * TRI_LOSS
        if i2tscore is not None:
            loss = cfg.MODEL.I2T_LOSS_WEIGHT * F.cross_entropy(i2tscore, target) + loss
        return loss

    return loss_func, None
