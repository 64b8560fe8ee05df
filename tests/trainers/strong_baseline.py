import torch.nn.functional as F

from .triplet_loss import TripletLoss, CrossEntropyLabelSmooth


def make_loss(cfg, num_classes):
    if cfg.MODEL.METRIC_LOSS_TYPE == 'triplet':
        triplet = TripletLoss(cfg.SOLVER.MARGIN)  # triplet loss

    def loss_func(score, feat, target):
        return F.cross_entropy(score, target) + triplet(feat, target)[0]

    return loss_func
